// A CUDA device as the host sees it: memory, a stream, events. No CUDA header: kernels and libraries have
// theirs.
//
// One of two files implements this: device_cuda.cc (the CUDA runtime, linked statically: a program starts
// where there is neither driver nor GPU; or the emulator's, runtime/emulator/toolkit), device_none.cc (no
// CUDA in this build: every function throws the UserError of require_available). Failures of the runtime are
// Errors that name the call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace lime::cuda {

// Why device `index` cannot be used, with the remedy: not built with CUDA, no driver, no such device. Empty
// where it can.
std::string unavailable(int index);

// Names the device itself among those of all hosts, whatever its number in this process: its UUID.
std::string identity(int index);

// Device memory, 256-byte aligned, uninitialised; zeroed when the call returns where asked. Freed with the
// last owner, after all work that uses it.
enum class Fill : bool { no, zeros };
std::shared_ptr<void> allocate(int index, size_t bytes, Fill = Fill::no);
// Page-locked host memory: copies from and to it run beside host code.
std::shared_ptr<void> allocate_pinned(int index, size_t bytes);

class Event;

// A queue of work on one device. Everything is done in order, after the call returns.
class Stream {
 public:
  explicit Stream(int index);
  ~Stream();  // waits for the work
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int index() const { return index_; }
  void* handle() const { return handle_; }  // cudaStream_t
  void activate() const;                    // makes this device the thread's current one

  // `rows` rows of `row_bytes`, their beginnings `pitch` bytes apart. Host memory handed to to_device() may
  // be reused when the call returns if it is not pinned; what to_host() fills may be read after synchronize()
  // and no sooner.
  struct Rows {
    int64_t rows;
    size_t row_bytes;
  };
  void to_device(const void* host, size_t host_pitch, void* device, size_t device_pitch, Rows);
  void to_host(const void* device, size_t device_pitch, void* host, size_t host_pitch, Rows);
  void zero(void* device, size_t pitch, Rows);
  void copy(const void* from, void* to, size_t bytes);  // within the device, without overlap

  void synchronize();             // waits until all work so far is done
  void wait(const Event& event);  // work from now on waits for what `event` recorded; the host does not

  // What a library keeps for this stream (handle, workspace, plans): gemm_cuda.cc.
  std::shared_ptr<void>& kept_state() { return kept_state_; }

 private:
  int index_;
  void* handle_ = nullptr;
  std::shared_ptr<void> kept_state_;
};

// A point in a stream's work.
class Event {
 public:
  enum class Timed : bool { no, yes };
  explicit Event(int index, Timed = Timed::no);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(Stream& stream);
  void synchronize() const;  // the host waits for what was recorded
  bool reached() const;      // whether it would not have to; true if nothing was recorded
  // Between two points of one device that were timed and reached, to about a microsecond; a float holds it.
  double milliseconds_since(const Event& earlier) const;
  void* handle() const { return handle_; }

 private:
  int index_;
  void* handle_ = nullptr;
};

// For launches and libraries: `code` is a cudaError_t. Throws Error "WHAT failed: name: description".
[[noreturn]] void throw_failure(const std::string& what, int code);

}  // namespace lime::cuda
