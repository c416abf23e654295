// What the dense network reads and returns, between the host and the context's device, without anybody
// waiting for a copy. On the CPU nothing is copied.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

// The inputs of a micro-batch. On a CUDA device they are copied by a stream of their own, under the compute
// of the micro-batch before, into one of two memories in turn.
class DeviceInput {
 public:
  explicit DeviceInput(Context&);
  ~DeviceInput();  // waits for the copies

  // The next micro-batch's inputs begin: those of the one before last are gone, and the context was given all
  // work that reads those of the last.
  void begin();
  // rows x cols on the device that hold what `fill` writes into host memory of that shape and type, but f32
  // where the type is bf16. On the CPU that memory itself, in the context's arena.
  using Fill = std::function<void(View host)>;
  View send(DType, int64_t rows, int64_t cols, const Fill& fill);
  // ... into `out`, of any row stride, on the context's device.
  void send(View out, const Fill& fill);
  // Borrows the offsets.
  Jagged send(std::span<const int64_t> offsets);
  // What the context is given from now on may read what was sent. On the device, bf16 is made here: views
  // that send() returned hold nothing before.
  void arrive();

 private:
  struct OnDevice;
  Context& ctx_;
  std::unique_ptr<OnDevice> device_;  // null on the CPU
};

// What comes back: each set of views is handed over in host memory, in the order of start().
class HostReturn {
 public:
  explicit HostReturn(Context&);
  ~HostReturn();

  // `then` is called by a later finish() with the values that the views have when the context's work so far
  // is done, as contiguous host memory, bf16 as f32; on the CPU at once with the views themselves.
  using Then = std::function<void(std::span<const ConstView> host)>;
  void start(std::vector<ConstView> views, Then then);
  // Waits for all but the last `under_way` that were started, and hands them over.
  void finish(size_t under_way = 0);

 private:
  struct OnDevice;
  Context& ctx_;
  std::unique_ptr<OnDevice> device_;  // null on the CPU
};

}  // namespace lime
