// What an emulated stream was given and has not done. Internal to the emulator.
//
// A GPU does a stream's work some time after it was given. Here that time is chosen so that what nobody waits
// for is missed: an operation is done when the host waits for a later point of its stream, or when an
// operation of another stream is, that follows it by an event, and no sooner. Before a wait of the host,
// other streams may do their work, or not: that changes from wait to wait. So a stream that reads what
// another one has not made, or overwrites what another one still reads, finds wrong values unless it waited.
//
// LIME_EMULATED_STREAMS=eager: work of kernels and libraries is done when it is given, as under
// AddressSanitizer, which would take memory of an arena for given back while kernels that were given before
// still use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace lime::emulator {

class Work {
 public:
  // Does what goes without waiting for others, and says whether that was all.
  using Operation = std::function<bool()>;

  static std::shared_ptr<Work> make(int device);  // of a new stream
  // Its stream ends: what it has is kept until it is done.
  static void outlive(std::shared_ptr<Work>);

  void add(Operation);
  int64_t given() const;                   // operations so far
  bool has_finished(int64_t up_to) const;  // the first `up_to` operations
  // Whether they are finished now. Throws what an operation throws, which is then over.
  bool try_finish(int64_t up_to);
  void finish(int64_t up_to);  // ... waits until they are

  // Copies to the host: `promise` when one is given to the stream, which says how many there are now; `send`
  // when it is done, with what puts there what it has read; `deliver` does that for the first `up_to` when
  // the host waits.
  using Arrival = std::function<void()>;
  void promise();
  int64_t promised() const;
  void send(Arrival);
  void deliver(int64_t up_to);
  bool has_arrived(int64_t up_to) const;

  // The host is about to wait for one of this process's streams: others may go on by themselves before.
  static void let_others_go_on(const Work* waited_for);
  // As when the device is idle. What an operation throws is thrown by the next who waits for its stream; one
  // of them is returned, or nothing.
  static std::string finish_all(int device) noexcept;

 private:
  explicit Work(int device) : device_(device) {}
  const int device_;
  mutable std::mutex mutex_;
  std::mutex at_work_;  // while an operation is carried on: they are in order
  std::deque<Operation> pending_;
  int64_t finished_ = 0;
  std::deque<Arrival> arrivals_;
  int64_t promised_ = 0, arrived_ = 0;
};

bool is_eager();

// By a stream's handle (cuda_streams.cc), null for the current device's null stream. give: work that waits
// for nobody, done later, or now where streams are eager. add_work: work that may have to wait. finish_work:
// all of it is done now.
void give(void* stream_handle, std::function<void()> operation);
void add_work(void* stream_handle, Work::Operation);
void finish_work(void* stream_handle);

}  // namespace lime::emulator
