// What a thread of an emulated kernel has started and not waited for: asynchronous copies, and products of
// warpgroups. Internal to the emulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "runtime/emulator/race_check.h"

namespace lime::emulator {

struct Pending {
  struct Copy {
    void* to;
    const void* from;  // null: zeros
    size_t bytes;
    std::source_location place;
    race::Moment start;
  };
  // What a product reads of shared memory.
  struct Operand {
    const void* piece;
    size_t bytes;
    std::source_location place;
    race::Moment start;
  };
  // Registers that a product has, and what they are after it.
  struct Lent {
    void* registers;
    std::vector<uint32_t> values;
  };

  void forget();  // keeps the memory

  std::vector<Copy> copies;              // of the group that is not closed
  std::deque<std::vector<Copy>> groups;  // the oldest first
  std::vector<Lent> lent;
  std::vector<Operand> operands;
  bool products_fenced = false;
  uint32_t products = 0;                               // issued in this block
  std::vector<std::pair<uintptr_t, size_t>> unfenced;  // bytes of shared memory that no fence_stores followed
};

Pending& pending();  // of the thread that runs

}  // namespace lime::emulator
