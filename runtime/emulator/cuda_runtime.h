// The emulated CUDA runtime as the rest of the emulator sees it: what its handles stand for, and how calls
// answer. Internal to the emulator.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "runtime/emulator/toolkit/cuda_runtime_api.h"
#include "runtime/emulator/work.h"
#include "runtime/error.h"

struct CUstream_st {
  std::shared_ptr<lime::emulator::Work> work;
  int device;
  bool blocking;                    // it and the null stream wait for each other
  std::atomic<int64_t> asked = -1;  // how much it had been given when it was last asked whether that is done
};

namespace lime::emulator {

// What an event recorded.
struct Mark {
  std::weak_ptr<Work> work;
  int64_t given = 0, promised = 0;
  bool asked = false;
  std::chrono::steady_clock::time_point time{};  // when the stream came to it, if the event is timed
  bool passed() const {
    const auto held = work.lock();
    return !held || held->has_finished(given);
  }
};

}  // namespace lime::emulator

struct CUevent_st {
  int device;
  bool timed;
  std::shared_ptr<lime::emulator::Mark> mark;  // null until something is recorded
};

namespace lime::emulator {

// The answer of a call that fails: kept for cudaGetLastError(), with `why` for cudaGetErrorString(). `of` is
// the stream whose work has failed.
cudaError_t refuse(cudaError_t, const std::string& why, cudaStream_t of = nullptr);
// What the documentation leaves undefined.
inline void must(bool holds, const std::string& found) {
  if (!holds) throw Error(str("CUDA, emulated: ", found));
}
// Calls f, which waits for work of this stream: what fails there is the answer.
template <typename F>
cudaError_t hear(cudaStream_t stream, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const std::exception& e) {
    return refuse(cudaErrorLaunchFailure, e.what(), stream);
  }
}
// Before a stream ends: its failure, if its last waiter was this thread and has not asked what it was.
std::string unheard_failure(cudaStream_t);

inline constexpr size_t most_pitch = 0x7fffffff, most_shared_bytes = 227 * 1024;

// A stream that there is, or the current device's where `handle` is null; null, and an answer, if there is
// none.
CUstream_st* stream_of(cudaStream_t handle);
// Work of a stream of the current device, as launches are: cudaSuccess, or the answer that refuses it.
cudaError_t must_be_current(cudaStream_t, const std::string& what);
// The same for a kernel, which cudaFuncSetAttribute() may have let have so much dynamic shared memory.
cudaError_t may_launch(cudaStream_t, const std::string& what, const void* kernel, size_t shared_bytes);

}  // namespace lime::emulator
