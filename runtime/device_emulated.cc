// runtime/cuda_device.h over the emulator, whose work is done when it is asked for, but for what shows
// whether somebody waits who has to. What to_host() copies arrives when the host waits for it and holds NaNs
// until then. What to_device() copies from page-locked memory is read when the stream has other work, or
// somebody waits for it; and so it is with what add_work() was given.
//
// There is one device, or as many as LIME_EMULATED_DEVICES says, which share this process's memory.
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/cuda_device.h"
#include "runtime/cuda_device_calls.h"
#include "runtime/device_memory.h"
#include "runtime/emulator/memory.h"
#include "runtime/error.h"
#include "runtime/host_memory.h"

namespace lime::cuda {

namespace {

// Page-locked memory: (begin, end).
class Pinned {
 public:
  static Pinned& instance() {
    static Pinned& pinned = *new Pinned;
    return pinned;
  }
  void add(const char* begin, size_t bytes) {
    const std::lock_guard lock(mutex_);
    live_[begin] = begin + bytes;
  }
  void remove(const char* begin) {
    const std::lock_guard lock(mutex_);
    live_.erase(begin);
  }
  bool holds(const char* p) {
    const std::lock_guard lock(mutex_);
    const auto next = live_.upper_bound(p);
    return next != live_.begin() && p < std::prev(next)->second;
  }

 private:
  std::mutex mutex_;
  std::map<const char*, const char*> live_;
};

// What a stream has not done yet, oldest first.
struct Work {
  struct Arrival {
    char* host;
    size_t pitch, row_bytes;
    std::vector<char> bytes;
  };
  std::mutex mutex;
  std::deque<Arrival> arrivals;
  int64_t arrived = 0;
  std::mutex at_work;  // while a pending operation is carried on: they are in order
  std::deque<std::function<bool()>> pending;
  int64_t finished = 0;

  void add(std::function<bool()> carry_on) {
    const std::lock_guard lock(mutex);
    pending.push_back(std::move(carry_on));
  }
  // Whether all up to there is finished now, without waiting for what others have to do.
  bool try_finish(int64_t up_to) {
    const std::lock_guard order(at_work);
    for (std::unique_lock lock(mutex); finished < up_to && !pending.empty(); lock.lock()) {
      auto& first = pending.front();  // stays where it is: others only add behind it
      lock.unlock();
      if (!first()) return false;
      lock.lock();
      pending.pop_front();
      ++finished;
      lock.unlock();
    }
    return true;
  }
  void finish(int64_t up_to) {
    while (!try_finish(up_to)) sched_yield();
  }
  int64_t given() {
    const std::lock_guard lock(mutex);
    return finished + static_cast<int64_t>(pending.size());
  }
  bool has_finished(int64_t up_to) {
    const std::lock_guard lock(mutex);
    return finished >= up_to;
  }

  void deliver(int64_t up_to) {
    const std::lock_guard lock(mutex);
    for (; arrived < up_to && !arrivals.empty(); ++arrived, arrivals.pop_front()) {
      const Arrival& a = arrivals.front();
      const size_t rows = a.row_bytes ? a.bytes.size() / a.row_bytes : 0;
      for (size_t r = 0; r < rows; ++r)
        std::memcpy(a.host + r * a.pitch, a.bytes.data() + r * a.row_bytes, a.row_bytes);
    }
  }
  int64_t sent() {
    const std::lock_guard lock(mutex);
    return arrived + static_cast<int64_t>(arrivals.size());
  }
  bool has_arrived(int64_t up_to) {
    const std::lock_guard lock(mutex);
    return arrived >= up_to;
  }
};

// A copy from page-locked memory, read when it is made.
struct Departure {
  const char* host;
  size_t host_pitch;
  char* device;
  size_t device_pitch;
  Stream::Rows rows;

  void make() const {
    // Who frees the memory has waited for the device.
    if (!emulator::is_device_memory(device, rows.row_bytes)) return;
    LIME_CHECK(Pinned::instance().holds(host), "page-locked memory was freed under a copy to the device");
    const emulator::Access access;
    for (size_t r = 0; r < static_cast<size_t>(rows.rows); ++r)
      std::memcpy(device + r * device_pitch, host + r * host_pitch, rows.row_bytes);
  }
};

thread_local int active = 0;

struct Mark {  // what an event recorded
  std::weak_ptr<Work> work;
  int64_t given = 0, sent = 0;
  bool asked = false;
  std::chrono::steady_clock::time_point time{};
};

void deliver(const Mark& mark) {
  const auto work = mark.work.lock();
  if (!work) return;
  work->finish(mark.given);
  work->deliver(mark.sent);
}

std::shared_ptr<Work>& work_of(void* handle) { return *static_cast<std::shared_ptr<Work>*>(handle); }
Mark& mark_of(void* handle) { return *static_cast<Mark*>(handle); }

void check_device(const char* what, const void* memory, size_t pitch, Stream::Rows rows) {
  const size_t bytes = (static_cast<size_t>(rows.rows) - 1) * pitch + rows.row_bytes;
  LIME_CHECK(emulator::is_device_memory(memory, bytes), what, " of ", bytes, " bytes outside device memory");
}

void check_host(const char* what, const void* memory) {
  LIME_CHECK(!emulator::is_device_memory(memory, 1), what, " was given device memory as host memory");
}

// The memory, whose end is counted, as its beginning is here.
std::shared_ptr<void> counted(std::shared_ptr<void> memory) {
  ++device_calls.allocations;
  void* at = memory.get();
  return {at, [memory = std::move(memory)](void*) { ++device_calls.frees; }};
}

}  // namespace

void throw_failure(const std::string& what, int code) { throw Error(str(what, " failed: ", code)); }

std::string unavailable(int index) {
  const char* wanted = std::getenv("LIME_EMULATED_DEVICES");
  const int devices = wanted ? std::max(std::atoi(wanted), 1) : 1;
  if (index < devices) return "";
  return str("no device ", index, ": this build emulates ", devices,
             devices == 1 ? " (LIME_EMULATED_DEVICES=8: more); use device=cuda:0" : "; use device=cuda:0");
}

std::string identity(int index) { return str("emulated ", index); }

DeviceMemory device_memory(int) { return {}; }  // nobody counts it

std::shared_ptr<void> allocate(int, size_t bytes, Fill fill) {
  auto memory = emulator::allocate(bytes);
  if (fill == Fill::zeros) {
    const emulator::Access access;
    std::memset(memory.get(), 0, bytes);
  }
  return counted(std::move(memory));
}

std::shared_ptr<void> allocate_pinned(int, size_t bytes) {
  const std::shared_ptr<void> memory = allocate_host(bytes);
  auto* const begin = static_cast<const char*>(memory.get());
  Pinned::instance().add(begin, bytes);
  return counted({memory.get(), [memory, begin](void*) { Pinned::instance().remove(begin); }});
}

Stream::Stream(int index) : index_(index), handle_(new std::shared_ptr<Work>(new Work)) {}
Stream::~Stream() {  // what nobody waited for never arrives on the host
  emulator::begin_work(handle_);
  delete static_cast<std::shared_ptr<Work>*>(handle_);
}
void Stream::activate() const { active = index_; }

void Stream::to_device(const void* host, size_t host_pitch, void* device, size_t device_pitch, Rows rows) {
  if (rows.rows == 0 || rows.row_bytes == 0) return;
  check_device("copy to the device", device, device_pitch, rows);
  check_host("copy to the device", host);
  const Departure copy{static_cast<const char*>(host), host_pitch, static_cast<char*>(device), device_pitch,
                       rows};
  Work& work = *work_of(handle_);
  if (Pinned::instance().holds(copy.host)) {
    work.add([copy] { return copy.make(), true; });
    return;
  }
  work.finish(work.given());  // of other memory the library takes a copy at once
  const emulator::Access access;
  for (size_t r = 0; r < static_cast<size_t>(rows.rows); ++r)
    std::memcpy(copy.device + r * device_pitch, copy.host + r * host_pitch, rows.row_bytes);
}

void Stream::to_host(const void* device, size_t device_pitch, void* host, size_t host_pitch, Rows rows) {
  if (rows.rows == 0 || rows.row_bytes == 0) return;
  check_device("copy to the host", device, device_pitch, rows);
  check_host("copy to the host", host);
  emulator::begin_work(handle_);
  const auto count = static_cast<size_t>(rows.rows);
  Work::Arrival arrival{static_cast<char*>(host), host_pitch, rows.row_bytes,
                        std::vector<char>(count * rows.row_bytes)};
  {
    const emulator::Access access;
    for (size_t r = 0; r < count; ++r)
      std::memcpy(arrival.bytes.data() + r * rows.row_bytes,
                  static_cast<const char*>(device) + r * device_pitch, rows.row_bytes);
  }
  for (size_t r = 0; r < count; ++r) std::memset(arrival.host + r * host_pitch, 0xff, rows.row_bytes);
  Work& work = *work_of(handle_);
  const std::lock_guard lock(work.mutex);
  work.arrivals.push_back(std::move(arrival));
}

void Stream::zero(void* device, size_t pitch, Rows rows) {
  if (rows.rows == 0 || rows.row_bytes == 0) return;
  check_device("zero fill", device, pitch, rows);
  emulator::begin_work(handle_);
  const emulator::Access access;
  for (size_t r = 0; r < static_cast<size_t>(rows.rows); ++r)
    std::memset(static_cast<char*>(device) + r * pitch, 0, rows.row_bytes);
}

void Stream::copy(const void* from, void* to, size_t bytes) {
  if (bytes == 0) return;
  check_device("copy within the device", from, bytes, {1, bytes});
  check_device("copy within the device", to, bytes, {1, bytes});
  emulator::begin_work(handle_);
  const emulator::Access access;
  std::memcpy(to, from, bytes);
}

void Stream::synchronize() {
  ++device_calls.waits;
  Work& work = *work_of(handle_);
  work.finish(work.given());
  work.deliver(work.sent());
}

void Stream::wait(const Event& event) {
  const Mark& mark = mark_of(event.handle());
  if (const auto work = mark.work.lock()) work->finish(mark.given);
}

Event::Event(int index, Timed) : index_(index), handle_(new Mark) {}
Event::~Event() { delete &mark_of(handle_); }

void Event::record(Stream& stream) {
  const auto& work = work_of(stream.handle());
  mark_of(handle_) = {work, work->given(), work->sent(), false, std::chrono::steady_clock::now()};
}

void Event::synchronize() const {
  ++device_calls.waits;
  deliver(mark_of(handle_));
}

// Not yet, where there is anything to do, when asked for the first time.
bool Event::reached() const {
  Mark& mark = mark_of(handle_);
  const auto work = mark.work.lock();
  if (!work || (work->has_finished(mark.given) && work->has_arrived(mark.sent))) return true;
  if (!std::exchange(mark.asked, true) || !work->try_finish(mark.given)) return false;
  work->deliver(mark.sent);
  return true;
}

double Event::milliseconds_since(const Event& earlier) const {
  return std::chrono::duration<double, std::milli>(mark_of(handle_).time - mark_of(earlier.handle_).time)
      .count();
}

}  // namespace lime::cuda

void lime::emulator::begin_work(void* stream_handle) {
  if (!stream_handle) return;
  cuda::Work& work = *cuda::work_of(stream_handle);
  work.finish(work.given());
}

void lime::emulator::add_work(void* stream_handle, std::function<bool()> carry_on) {
  cuda::work_of(stream_handle)->add(std::move(carry_on));
}

int lime::emulator::active_device() { return cuda::active; }
