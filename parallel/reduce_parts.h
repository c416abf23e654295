// Reducing parts received from other ranks, internal to parallel/.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>

#include "parallel/communicator.h"

namespace lime {

// Memory that parts are received into; kept and grown.
class Staging {
 public:
  char* get(size_t bytes) {
    if (bytes > size_) {
      memory_.reset(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
      LIME_CHECK(memory_, "no memory for ", bytes, " bytes of staging");
      size_ = bytes;
    }
    return memory_.get();
  }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  std::unique_ptr<char, Free> memory_;
  size_t size_ = 0;
};

// out = op over the parts of `count` values, of which `out` is one; sums along the tree (tree_sum.h). The
// parts are scratch afterwards.
void reduce_parts(DType dtype, ReduceOp op, std::span<void* const> parts, int64_t count, void* out);

namespace cuda {

// The same for the parts of `parts` ranks on the context's device, bit for bit: that of rank `own_rank` is at
// `own`, those of the others one after the other from `others` on. `out` may be `own`.
struct DeviceParts {
  const void* own;
  const void* others;
  int own_rank, parts;
};
void reduce_parts(Context&, DType, ReduceOp, const DeviceParts&, int64_t count, void* out);

}  // namespace cuda
}  // namespace lime
