#include "runtime/host_staging.h"

#include <algorithm>
#include <utility>

#include "runtime/error.h"

namespace lime {

HostStaging::HostStaging(Device device) : device_(device) {}

HostStaging::~HostStaging() {
  try {
    for (const auto& block : idle_) block->used.synchronize();
  } catch (const Error&) {  // the device failed: nothing is under way, and whoever used it has been told
  }
}

std::unique_ptr<HostStaging::Block> HostStaging::take(size_t bytes) {
  // The smallest that fits; where none does, the largest makes room for one that will.
  auto best = idle_.end();
  for (auto it = idle_.begin(); it != idle_.end(); ++it) {
    if (!(*it)->used.reached()) continue;
    if (best == idle_.end()) {
      best = it;
      continue;
    }
    const size_t size = (*it)->memory.size(), best_size = (*best)->memory.size();
    const bool fits = size >= bytes, best_fits = best_size >= bytes;
    if (fits != best_fits ? fits : (fits ? size < best_size : size > best_size)) best = it;
  }
  if (best != idle_.end()) {
    std::unique_ptr<Block> block = std::move(*best);
    idle_.erase(best);
    if (block->memory.size() >= bytes) return block;
  }
  const size_t rounded = std::max<size_t>(bytes + bytes / 4, 4096);
  return std::unique_ptr<Block>(new Block{PinnedBuffer(device_, rounded), cuda::Event(device_.index)});
}

void HostStaging::give_back(std::unique_ptr<Block> block, cuda::Stream& stream) {
  block->used.record(stream);
  idle_.push_back(std::move(block));
}

}  // namespace lime
