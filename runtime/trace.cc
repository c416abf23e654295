#include "runtime/trace.h"

#include <atomic>
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

int64_t microseconds(Tracer::Clock::duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

}  // namespace

Tracer::Tracer(int rank, bool keep_ranges) : rank_(rank), keep_ranges_(keep_ranges), origin_(Clock::now()) {}

void Tracer::add(const char* name, Clock::time_point begin, Clock::time_point end) {
  const uint32_t thread = thread_number();
  const std::lock_guard lock(mutex_);
  totals_ms_[name] += std::chrono::duration<double, std::milli>(end - begin).count();
  if (!keep_ranges_) return;
  if (events_.size() < limit) {
    events_.push_back({name, microseconds(begin - origin_), microseconds(end - begin), thread});
  } else {
    ++dropped_;
  }
}

std::map<std::string, double> Tracer::take_totals_ms() {
  const std::lock_guard lock(mutex_);
  return std::exchange(totals_ms_, {});
}

void Tracer::write_chrome_json(const std::string& path) const {
  using Json = nlohmann::json;
  const std::lock_guard lock(mutex_);
  std::ofstream file(path);
  // One event a line, written as it goes: two million of them need not be held as a document.
  file << "{\"displayTimeUnit\":\"ms\",\"otherData\":" << Json{{"rank", rank_}, {"dropped", dropped_}}.dump()
       << ",\"traceEvents\":[\n"
       << Json{{"ph", "M"},
               {"name", "process_name"},
               {"pid", rank_},
               {"args", {{"name", str("rank ", rank_)}}}}
              .dump();
  for (const Event& e : events_) {
    file << ",\n"
         << Json{{"ph", "X"},       {"name", e.name},   {"pid", rank_},
                 {"tid", e.thread}, {"ts", e.begin_us}, {"dur", e.duration_us}}
                .dump();
  }
  file << "\n]}\n";
  file.close();
  if (!file) throw Error(str(path, ": the trace could not be written"));
}

}  // namespace lime
