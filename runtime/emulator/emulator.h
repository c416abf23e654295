// The CUDA emulator: kernels written for a GPU, compiled as C++ and run on the CPU, for tests
// (docs/adr/0006).
//
// Blocks run one after the other, in an order that changes from launch to launch; the threads of a block are
// fibers, of which one runs until it waits for others: at a barrier, or in an operation of its warp. The
// order in which they get their turn changes too, so that what only a barrier would make right comes out
// wrong without it. The orders are a function of the number of launches so far: a failure repeats.
//
// Every fault is an Error with the kernel's name, block and thread:
//   * threads that wait for each other at different places, or for threads that have returned
//   * a lane that reads from a lane that is not in its mask; a copy or a pack that is not aligned to its size
//   * a product of a warpgroup without its fences, or of some of its warps
//   * bytes overwritten outside an allocation or outside dynamic shared memory
//   * a launch that a GPU would refuse: too many threads, too much shared memory
// Dynamic shared memory holds NaNs when a block starts; static shared memory holds what the block before
// left. What cp.async copies to, and registers of wgmma, hold NaNs from its start to its wait. Device
// memory: runtime/emulator/memory.h. Races: race_check.h, in builds with the checker; else some show by the
// order. Not shown: reads outside an allocation within its page, but under AddressSanitizer (asan-emulated).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

#include "runtime/emulator/types.h"

namespace lime::emulator {

using Place = std::source_location;

struct Launch {
  std::string kernel;
  const void* function = nullptr;  // its address
  dim3 grid, block;
  size_t shared_bytes = 0;  // dynamic
  void* stream_handle = nullptr;
};

// Gives the stream the kernel: `thread` is called once a thread. Sizes that a GPU has not are an Error now;
// what else the CUDA runtime refuses is left for cudaGetLastError(), and what goes wrong while the kernel
// runs is told whoever waits for it (runtime/emulator/work.h).
void launch(Launch, std::function<void()> thread);

// --- for the running thread
// ---------------------------------------------------------------------------------

// Waits until all threads of the block are at the same place.
void block_barrier(Place);
// Waits until all lanes of `mask` are at the same place, then calls `operation` once, with every lane's
// arguments by lane (null for those not in the mask): warp operations read and write all lanes' registers
// there.
using WarpOperation = void (*)(void* const* arguments);
void warp_operation(uint32_t mask, void* arguments, WarpOperation operation, Place);
void warp_barrier(uint32_t mask, Place);  // __syncwarp: the one that orders what the lanes do to memory
uint32_t lane();
void* dynamic_shared();

// cp.async: kept until waited for. null `from` means zeros.
void start_copy(void* to, const void* from, size_t bytes, Place);
void commit_copies();
void wait_copies(size_t groups_that_may_be_missing);

// Products of warpgroups: runtime/emulator/wgmma.h. Registers that they are lent, to read or to write,
// are NaN until wait_products; values_of(registers) is what they will be, or `registers`. What a thread has
// copied or stored and not fenced is no operand.
void fence_products();
void begin_product(Place);
void lend_registers(void* registers, const void* values, size_t n);
const void* values_of(const void* registers);
void wait_products();
void note_operand(const void* piece, size_t bytes, Place);  // in shared memory
void note_store(const void* to, size_t bytes);
void check_stores(uintptr_t operand, size_t bytes, Place);
void fence_stores();

// Ends the launch with an Error.
[[noreturn]] void fault(const std::string& what, Place);

}  // namespace lime::emulator
