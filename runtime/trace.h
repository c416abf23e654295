// Trace ranges: named intervals of host time, written on demand as Chrome trace JSON (chrome://tracing,
// Perfetto). A range costs two clock reads while a tracer is attached, and one branch otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
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

  void add(const char* name, Clock::time_point begin, Clock::time_point end);
  // Total milliseconds by range name since the last call.
  std::map<std::string, double> take_totals_ms();
  // All ranges so far, one "process" a rank, one "thread" a host thread. Keeps at most `limit` ranges (then
  // drops, counted).
  void write_chrome_json(const std::string& path) const;

 private:
  struct Event {
    const char* name;
    int64_t begin_us, duration_us;
    uint32_t thread;
  };
  static constexpr size_t limit = 2'000'000;
  int rank_;
  bool keep_ranges_;
  Clock::time_point origin_;
  mutable std::mutex mutex_;
  std::vector<Event> events_;
  std::map<std::string, double> totals_ms_;
  int64_t dropped_ = 0;
};

// `name` must outlive the tracer: a string literal.
class TraceRange {
 public:
  TraceRange(Tracer* tracer, const char* name) : tracer_(tracer), name_(name) {
    if (tracer_) begin_ = Tracer::Clock::now();
  }
  TraceRange(const Context& ctx, const char* name) : TraceRange(ctx.tracer(), name) {}
  ~TraceRange() {
    if (tracer_) tracer_->add(name_, begin_, Tracer::Clock::now());
  }
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;

 private:
  Tracer* tracer_;
  const char* name_;
  Tracer::Clock::time_point begin_;
};

}  // namespace lime
