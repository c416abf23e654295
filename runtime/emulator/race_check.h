// The race checker of the CUDA emulator (CMake option LIME_RACE_CHECK, preset ci-emulated).
//
// Kernels are compiled with -fsanitize=thread, which has the compiler call a function before each load and
// store; the functions are here, in the place of ThreadSanitizer's. What a kernel's thread does to the shared
// memory of its block and to the device's memory is checked, byte by byte, against what others did before:
// two accesses of different threads, of which one writes, are a race unless something orders them. The order
// in which the emulator runs threads does not matter: a race is found where the accesses happen, whoever is
// first.
//
// What orders accesses, as CUDA has it:
//   __syncthreads          those of all threads of the block
//   __syncwarp(mask)       those of the lanes of the mask
//   the end of a launch    all
// Shuffles, votes and mma.sync order nothing; nor does anything order two blocks of one launch. Atomics do
// not race with each other, and order nothing else.
//
// Asynchronous accesses happen at any time between their start and the wait of the thread that started them:
// a copy's bytes in shared memory are nobody's until then, and what a copy or a warpgroup's product reads
// must not be written.
//
// Not seen: launches that overlap (they run one after the other), and memory that functions compiled
// elsewhere touch (memcpy of the C library, for one: kernels have no call of it).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>

struct uint3;
struct dim3;

namespace lime::emulator::race {

#ifdef LIME_RACE_CHECK

inline constexpr bool finds_races = true;

// When a thread did something: how many barriers of blocks had been passed, and of how much of what each lane
// of its warp had done it was then known that it was before.
using Lanes = std::array<uint32_t, 32>;
struct Moment {
  uint32_t epoch = 0;
  Lanes of_lane{};
};

// --- for the emulator
void begin_launch(const dim3& block);
void begin_block(const uint3& index, const void* shared, size_t shared_bytes);  // dynamic
// The fiber on this stack goes on as that thread of the block, on this thread of the host.
void resume(uint32_t thread, const void* stack, size_t stack_bytes);
void pause();
void order_block();                                      // all threads are at a barrier
void order_lanes(uint32_t first_thread, uint32_t mask);  // of the warp that begins there
// The first race since it was asked; empty: none. "thread (..), file:line: a race, ...".
std::string take();

// --- for the running thread, where the emulator does what a kernel asked for
void note_read(const void* p, size_t bytes, std::source_location);
void note_write(const void* p, size_t bytes, std::source_location);
// By another lane of its warp.
void note_read_of(uint32_t lane, const void* p, size_t bytes, std::source_location);
void note_write_of(uint32_t lane, const void* p, size_t bytes, std::source_location);
// An asynchronous read: note_read() and now() at its start, and this at its end.
Moment now();
void end_read(const Moment& start, const void* p, size_t bytes, std::source_location);
// A copy's other side. What end_copy() is given was started.
void begin_copy(const void* to, size_t bytes, std::source_location);
void end_copy(const void* to, size_t bytes, std::source_location);

// While one lives, the thread's loads and stores are atomic.
class Atomic {
 public:
  Atomic();
  ~Atomic();
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;
};
// While one lives, they are not the kernel's.
class Pause {
 public:
  Pause();
  ~Pause();
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  void* running_;
};

#else

inline constexpr bool finds_races = false;
struct Moment {};
inline void begin_launch(const dim3&) {}
inline void begin_block(const uint3&, const void*, size_t) {}
inline void resume(uint32_t, const void*, size_t) {}
inline void pause() {}
inline void order_block() {}
inline void order_lanes(uint32_t, uint32_t) {}
inline std::string take() { return {}; }
inline void note_read(const void*, size_t, std::source_location) {}
inline void note_write(const void*, size_t, std::source_location) {}
inline void note_read_of(uint32_t, const void*, size_t, std::source_location) {}
inline void note_write_of(uint32_t, const void*, size_t, std::source_location) {}
inline Moment now() { return {}; }
inline void end_read(const Moment&, const void*, size_t, std::source_location) {}
inline void begin_copy(const void*, size_t, std::source_location) {}
inline void end_copy(const void*, size_t, std::source_location) {}
struct Atomic {
  Atomic() {}  // a variable of it is no unused one
};
struct Pause {
  Pause() {}
};

#endif

}  // namespace lime::emulator::race
