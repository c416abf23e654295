// Page-locked memory that passes between the host and a stream, and is used again once the stream is done
// with it.
//
// The host writes into a block, puts a copy to the device on a stream, and gives the block back without
// waiting: it is handed out again after that copy. Or the stream copies into it, the host waits, reads, and
// gives it back.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "runtime/cuda_device.h"
#include "runtime/memory.h"

namespace lime {

class HostStaging {
 public:
  explicit HostStaging(Device device);  // a CUDA device
  ~HostStaging();                       // waits for copies under way

  struct Block {
    PinnedBuffer memory;
    cuda::Event used;  // the last copy from or to it
  };
  // At least `bytes`, uninitialised, that nothing uses. Never waits: takes more memory from the system where
  // all of it is in use.
  std::unique_ptr<Block> take(size_t bytes);
  // What `stream` holds by now may still use the block.
  void give_back(std::unique_ptr<Block>, cuda::Stream& stream);

 private:
  Device device_;
  std::vector<std::unique_ptr<Block>> idle_;
};

}  // namespace lime
