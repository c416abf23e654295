// The order in which a table's rows are summed over: by virtual bucket, then by id. Internal to embeddings/.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lime {

class BucketOrder {
 public:
  // Sorts distinct ids >= 0 (radix sort, only over the bits that differ). Keeps its memory for the next time.
  void sort(std::span<const int64_t> ids);
  // f(bucket, index into ids), in order.
  template <typename F>
  void for_each(F f) const {
    for (const Key& key : keys_) f(key.bucket, key.index);
  }

 private:
  struct Key {
    uint64_t id;
    int32_t bucket;
    int32_t index;
  };
  template <typename Digit>
  void pass(Digit digit, size_t values);
  std::vector<Key> keys_, other_;
  std::vector<size_t> counts_;
};

}  // namespace lime
