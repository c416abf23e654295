// Trace ranges: named intervals of time, written on demand as Chrome trace JSON (chrome://tracing, Perfetto).
// A range costs two clock reads while a tracer is attached, and one branch otherwise.
//
// A range of a context on a CUDA device is two intervals: what the host took to give the work to the stream,
// and, where single ranges are kept, what the device took to do it, from events around it. The totals are the
// device's then. Events cost some microseconds of the host's time each, so that runs that only want totals
// have the host's.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/context.h"

namespace lime {

class Tracer {
 public:
  using Clock = std::chrono::steady_clock;
  // Totals are always kept; single ranges, for write_chrome_json, only with `keep_ranges`.
  explicit Tracer(int rank = 0, bool keep_ranges = true);
  ~Tracer();

  void add(const char* name, Clock::time_point begin, Clock::time_point end);
  // Total milliseconds by range name since the last call; on a device, of what is known to be done.
  std::map<std::string, double> take_totals_ms();
  // All ranges so far, one "process" a rank, one "thread" a host thread, and thread "device". Keeps at most
  // `limit` ranges (then drops, counted). Waits for the device.
  void write_chrome_json(const std::string& path);

  // Whether ranges on a context's stream are timed there. Then mark() is a point in its work, and
  // add_on_device() a range between two, where the host took from `begin` to `end` to ask for it. Of one
  // device, one thread at a time.
  bool times(const Context&) const;
  using Mark = std::unique_ptr<cuda::Event>;
  Mark mark(const Context&);
  void add_on_device(const char* name, Clock::time_point begin, Clock::time_point end, Mark first, Mark last);

 private:
  struct Event {
    const char* name;
    int64_t begin_us, duration_us;
    uint32_t thread;
  };
  struct OnDevice {
    const char* name;
    Mark begin, end;
  };
  void keep(const Event&);
  void resolve(bool wait);

  static constexpr size_t limit = 2'000'000;
  int rank_;
  bool keep_ranges_;
  Clock::time_point origin_;
  std::mutex mutex_;
  std::vector<Event> events_;
  std::map<std::string, double> totals_ms_;
  int64_t dropped_ = 0;

  std::deque<OnDevice> on_device_;  // not resolved yet, in order of their ends
  std::vector<Mark> free_marks_;
  Mark anchor_;  // a point of the device whose time is known
  double anchor_ms_ = 0;
};

// `name` must outlive the tracer: a string literal.
class TraceRange {
 public:
  TraceRange(Tracer* tracer, const char* name) : tracer_(tracer), name_(name) {
    if (tracer_) begin_ = Tracer::Clock::now();
  }
  TraceRange(const Context& ctx, const char* name) : TraceRange(ctx.tracer(), name) {
    if (tracer_ && tracer_->times(ctx)) ctx_ = &ctx, first_ = tracer_->mark(ctx);
  }
  ~TraceRange() {
    if (ctx_) {
      Tracer::Mark last = tracer_->mark(*ctx_);
      tracer_->add_on_device(name_, begin_, Tracer::Clock::now(), std::move(first_), std::move(last));
    } else if (tracer_) {
      tracer_->add(name_, begin_, Tracer::Clock::now());
    }
  }
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;

 private:
  Tracer* tracer_;
  const char* name_;
  Tracer::Clock::time_point begin_;
  const Context* ctx_ = nullptr;  // where it is timed on the device
  Tracer::Mark first_;
};

}  // namespace lime
