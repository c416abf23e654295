#include "runtime/arena.h"

#include <algorithm>

#include "runtime/host_memory.h"
#include "runtime/memory.h"
#include "runtime/sanitizer.h"

namespace lime {

namespace {
constexpr size_t smallest_block = size_t{1} << 20;
constexpr size_t cuda_alignment = 128;                          // a cache line of a GPU
constexpr size_t guard = sanitizer::finds_addresses ? 128 : 0;  // between neighbours
}  // namespace

Arena::Arena(Device device) : device_(device) { require_available(device); }

View Arena::alloc(DType dtype, int64_t rows, int64_t cols) {
  LIME_CHECK(rows >= 0 && cols >= 0, "arena: ", rows, "x", cols);
  const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(cols) * size_of(dtype);
  return View(take(bytes), dtype, device_, rows, cols, cols);
}

// Blocks before the current one are full (or skipped), blocks after it are free.
void* Arena::take(size_t bytes) {
  const size_t alignment = device_.type == DeviceType::cuda ? cuda_alignment : memory_alignment;
  const size_t wanted = bytes;
  bytes = std::max((bytes + alignment - 1) / alignment * alignment, alignment) + guard;
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].size) ++block_, used_ = 0;
  if (block_ == blocks_.size()) {
    // Doubling what is held keeps the number of blocks logarithmic until reset() joins them.
    add_block(std::max({bytes, bytes_reserved(), smallest_block}));
  }
  void* memory = static_cast<char*>(blocks_[block_].memory.get()) + used_;
  sanitizer::allow(memory, wanted);
  used_ += bytes;
  peak_ = std::max(peak_, bytes_used());
  return memory;
}

void Arena::reset() {
  if (blocks_.size() > 1) {
    const size_t size = bytes_reserved();
    blocks_.clear();  // before the new one is taken: a step must never hold twice what it needs
    add_block(size);
  }
  rewind(0, 0);
}

void Arena::add_block(size_t size) {
  blocks_.push_back({allocate_memory(device_, size), size});
  ++system_allocations_;
  sanitizer::forbid(blocks_.back().memory.get(), size);
}

void Arena::rewind(size_t block, size_t used) {
  if constexpr (sanitizer::finds_addresses) {
    for (size_t b = block; b < blocks_.size() && b <= block_; ++b) {
      const size_t kept = b == block ? used : 0, end = b == block_ ? used_ : blocks_[b].size;
      sanitizer::forbid(static_cast<char*>(blocks_[b].memory.get()) + kept, end - kept);
    }
  }
  block_ = block, used_ = used;
}

size_t Arena::bytes_used() const {
  size_t bytes = used_;
  for (size_t b = 0; b < block_; ++b) bytes += blocks_[b].size;
  return bytes;
}

size_t Arena::bytes_reserved() const {
  size_t bytes = 0;
  for (const Block& block : blocks_) bytes += block.size;
  return bytes;
}

size_t Arena::bytes_peak() const { return peak_; }

}  // namespace lime
