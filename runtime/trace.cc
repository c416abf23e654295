#include "runtime/trace.h"

#include <atomic>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/error.h"

namespace lime {

namespace {

uint32_t thread_number() {
  static std::atomic<uint32_t> threads{0};
  thread_local const uint32_t number = threads++;
  return number;
}

// Host threads count from 0.
constexpr uint32_t device_thread = 1'000'000;

int64_t microseconds(Tracer::Clock::duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

}  // namespace

Tracer::Tracer(int rank, bool keep_ranges) : rank_(rank), keep_ranges_(keep_ranges), origin_(Clock::now()) {}
Tracer::~Tracer() = default;

void Tracer::keep(const Event& event) {
  if (events_.size() < limit) {
    events_.push_back(event);
  } else {
    ++dropped_;
  }
}

void Tracer::add(const char* name, Clock::time_point begin, Clock::time_point end) {
  const uint32_t thread = thread_number();
  const std::lock_guard lock(mutex_);
  totals_ms_[name] += std::chrono::duration<double, std::milli>(end - begin).count();
  if (keep_ranges_) keep({name, microseconds(begin - origin_), microseconds(end - begin), thread});
}

bool Tracer::times(const Context& ctx) const { return keep_ranges_ && ctx.device().type == DeviceType::cuda; }

Tracer::Mark Tracer::mark(const Context& ctx) try {
  const auto timed = [&] {
    return std::make_unique<cuda::Event>(ctx.device().index, cuda::Event::Timed::yes);
  };
  const std::lock_guard lock(mutex_);
  if (!anchor_) {  // the one time that both clocks are read at once
    anchor_ = timed();
    anchor_->record(ctx.stream());
    anchor_->synchronize();
    anchor_ms_ = std::chrono::duration<double, std::milli>(Clock::now() - origin_).count();
  }
  Mark mark;
  if (free_marks_.empty()) {
    mark = timed();
  } else {
    mark = std::move(free_marks_.back());
    free_marks_.pop_back();
  }
  mark->record(ctx.stream());
  return mark;
} catch (const Error&) {  // the device failed: ranges end while whoever is told of it leaves them
  return nullptr;
}

void Tracer::add_on_device(const char* name, Clock::time_point begin, Clock::time_point end, Mark first,
                           Mark last) {
  const uint32_t thread = thread_number();
  const std::lock_guard lock(mutex_);
  keep({name, microseconds(begin - origin_), microseconds(end - begin), thread});
  if (first && last) on_device_.push_back({name, std::move(first), std::move(last)});
}

void Tracer::resolve(bool wait) {
  while (!on_device_.empty()) {
    OnDevice& range = on_device_.front();
    if (wait) range.end->synchronize();
    if (!range.end->reached()) return;
    const double end = anchor_ms_ + range.end->milliseconds_since(*anchor_),
                 took = range.end->milliseconds_since(*range.begin);
    totals_ms_[range.name] += took;
    keep({range.name, std::llround(1e3 * (end - took)), std::llround(1e3 * took), device_thread});
    free_marks_.push_back(std::move(range.begin));
    if (end - anchor_ms_ > 1e3) {  // near enough for a float to count microseconds
      free_marks_.push_back(std::exchange(anchor_, std::move(range.end)));
      anchor_ms_ = end;
    } else {
      free_marks_.push_back(std::move(range.end));
    }
    on_device_.pop_front();
  }
}

std::map<std::string, double> Tracer::take_totals_ms() {
  const std::lock_guard lock(mutex_);
  resolve(false);
  return std::exchange(totals_ms_, {});
}

void Tracer::write_chrome_json(const std::string& path) {
  using Json = nlohmann::json;
  const std::lock_guard lock(mutex_);
  resolve(true);
  std::ofstream file(path);
  // One event a line, written as it goes: two million of them need not be held as a document.
  file << "{\"displayTimeUnit\":\"ms\",\"otherData\":" << Json{{"rank", rank_}, {"dropped", dropped_}}.dump()
       << ",\"traceEvents\":[\n"
       << Json{{"ph", "M"},
               {"name", "process_name"},
               {"pid", rank_},
               {"args", {{"name", str("rank ", rank_)}}}}
              .dump()
       << ",\n"
       << Json{{"ph", "M"},
               {"name", "thread_name"},
               {"pid", rank_},
               {"tid", device_thread},
               {"args", {{"name", "device"}}}}
              .dump();
  for (const Event& e : events_) {
    file << ",\n"
         << Json{{"ph", "X"},       {"name", e.name},   {"pid", rank_},
                 {"tid", e.thread}, {"ts", e.begin_us}, {"dur", e.duration_us}}
                .dump();
  }
  file << "\n]}\n";
  file.close();
  if (!file) throw UserError(str(path, ": the trace could not be written"));
}

}  // namespace lime
