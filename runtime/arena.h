// Arena: bump allocation for activations and scratch.
//
// Memory of the device, handed out in the order of the context's stream: what a reset or the end of a Scope
// gives back may be written by later work only, so nobody waits. Grows by blocks while the first steps run;
// once a step fits, no further allocation happens. reset() at the end of a micro-batch forgets everything
// (and joins the blocks into one); a Scope forgets what was taken since it began. AddressSanitizer knows what
// is handed out: touching bytes between allocations, or what was given back, ends a program built with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/tensor.h"

namespace lime {

class Arena {
 public:
  explicit Arena(Device device);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Uninitialised rows x cols, 64-byte aligned (128 on a CUDA device), contiguous. Valid until reset() or the enclosing Scope ends.
  View alloc(DType dtype, int64_t rows, int64_t cols);
  void reset();

  size_t bytes_used() const;                                          // now
  size_t bytes_reserved() const;                                      // held from the system
  size_t bytes_peak() const;                                          // most ever used at once
  int64_t system_allocations() const { return system_allocations_; }  // stops growing once steps fit

  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), block_(arena.block_), used_(arena.used_) {}
    ~Scope() { arena_.rewind(block_, used_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_, used_;
  };

 private:
  struct Block {
    std::shared_ptr<void> memory;
    size_t size;
  };
  void* take(size_t bytes);
  void add_block(size_t size);
  void rewind(size_t block, size_t used);  // to an earlier state

  Device device_;
  std::vector<Block> blocks_;
  size_t block_ = 0, used_ = 0;  // current block and bytes used in it
  size_t peak_ = 0;
  int64_t system_allocations_ = 0;
};

}  // namespace lime
