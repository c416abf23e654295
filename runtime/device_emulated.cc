// runtime/cuda_device.h over the emulator, whose streams do their work when somebody waits for it
// (runtime/emulator/work.h). What to_host() copies arrives when the host waits and holds NaNs until then.
// What to_device() copies from page-locked memory is read when the copy is made, other memory when it is
// given.
//
// There is one device, or as many as LIME_EMULATED_DEVICES says, which share this process's memory.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/cuda_device.h"
#include "runtime/cuda_device_calls.h"
#include "runtime/device_memory.h"
#include "runtime/device_watch.h"
#include "runtime/emulator/memory.h"
#include "runtime/emulator/work.h"
#include "runtime/error.h"
#include "runtime/host_memory.h"

namespace lime::cuda {

namespace {

using emulator::Work;

// Page-locked memory, and how many copies are still to read of each piece.
class Pinned {
 public:
  static Pinned& instance() {
    static Pinned& pinned = *new Pinned;
    return pinned;
  }
  void add(const char* begin, size_t bytes) {
    const std::lock_guard lock(mutex_);
    live_[begin] = {begin + bytes, 0};
  }
  void remove(const char* begin) {
    const std::lock_guard lock(mutex_);
    live_.erase(begin);
  }
  bool is_to_be_read(const char* p) {
    const std::lock_guard lock(mutex_);
    const Piece* const piece = piece_of(p);
    return piece && piece->reads > 0;
  }
  // Whether the memory is there.
  bool count_reads(const char* p, int more) {
    const std::lock_guard lock(mutex_);
    Piece* const piece = piece_of(p);
    if (piece) piece->reads += more;
    return piece != nullptr;
  }

 private:
  struct Piece {
    const char* end;
    int reads;
  };
  Piece* piece_of(const char* p) {
    const auto next = live_.upper_bound(p);
    return next != live_.begin() && p < std::prev(next)->second.end ? &std::prev(next)->second : nullptr;
  }

  std::mutex mutex_;
  std::map<const char*, Piece> live_;
};

void copy_rows(const char* from, size_t from_pitch, char* to, size_t to_pitch, Stream::Rows rows) {
  const emulator::Access access;
  for (size_t r = 0; r < static_cast<size_t>(rows.rows); ++r)
    std::memcpy(to + r * to_pitch, from + r * from_pitch, rows.row_bytes);
}

// A copy from page-locked memory, read when it is made.
struct Departure {
  const char* host;
  size_t host_pitch;
  char* device;
  size_t device_pitch;
  Stream::Rows rows;

  void make() const {
    LIME_CHECK(Pinned::instance().count_reads(host, -1),
               "page-locked memory was freed under a copy to the device");
    copy_rows(host, host_pitch, device, device_pitch, rows);
  }
};

thread_local int active = 0;

struct Mark {  // what an event recorded
  std::weak_ptr<Work> work;
  int64_t given = 0, promised = 0;
  bool asked = false;
  std::chrono::steady_clock::time_point time{};
};

std::shared_ptr<Work>& work_of(void* handle) { return *static_cast<std::shared_ptr<Work>*>(handle); }
Mark& mark_of(void* handle) { return *static_cast<Mark*>(handle); }

void wait_for(Work& work, int64_t given, int64_t promised) {
  ++device_calls.waits;
  Work::let_others_go_on(&work);
  wait_watchfully([&] { return work.try_finish(given); });
  work.finish(given);
  work.deliver(promised);
}

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
  void* const at = memory.get();
  return counted({at, [memory = std::move(memory)](void*) {
                    settle_watched();
                    Work::finish_all();
                  }});  // as device_cuda.cc waits
}

std::shared_ptr<void> allocate_pinned(int, size_t bytes) {
  const std::shared_ptr<void> memory = allocate_host(bytes);
  auto* const begin = static_cast<const char*>(memory.get());
  Pinned::instance().add(begin, bytes);
  return counted({memory.get(), [memory, begin](void*) { Pinned::instance().remove(begin); }});
}

Stream::Stream(int index) : index_(index), handle_(new std::shared_ptr<Work>(Work::make())) {}
Stream::~Stream() {  // what nobody waited for never arrives on the host
  Work& work = *work_of(handle_);
  settle_watched();
  try {
    work.finish(work.given());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "emulated device: %s, found when its stream ended\n", e.what());
    if (std::uncaught_exceptions() == 0) std::abort();
  }
  delete static_cast<std::shared_ptr<Work>*>(handle_);
}
void Stream::activate() const { active = index_; }

void Stream::to_device(const void* host, size_t host_pitch, void* device, size_t device_pitch, Rows rows) {
  if (rows.rows == 0 || rows.row_bytes == 0) return;
  check_device("copy to the device", device, device_pitch, rows);
  check_host("copy to the device", host);
  const Departure copy{static_cast<const char*>(host), host_pitch, static_cast<char*>(device), device_pitch,
                       rows};
  if (Pinned::instance().count_reads(copy.host, 1))
    return emulator::add_work(handle_, [copy] { return copy.make(), true; });
  // Of other memory the library takes a copy at once.
  std::vector<char> taken(static_cast<size_t>(rows.rows) * rows.row_bytes);
  copy_rows(copy.host, host_pitch, taken.data(), rows.row_bytes, rows);
  emulator::give(handle_, [copy, taken = std::move(taken)] {
    copy_rows(taken.data(), copy.rows.row_bytes, copy.device, copy.device_pitch, copy.rows);
  });
}

void Stream::to_host(const void* device, size_t device_pitch, void* host, size_t host_pitch, Rows rows) {
  if (rows.rows == 0 || rows.row_bytes == 0) return;
  check_device("copy to the host", device, device_pitch, rows);
  check_host("copy to the host", host);
  auto* const to = static_cast<char*>(host);
  // Unless a copy that was given before has still to read there.
  for (int64_t r = 0; r < rows.rows && !Pinned::instance().is_to_be_read(to); ++r)
    std::memset(to + static_cast<size_t>(r) * host_pitch, 0xff, rows.row_bytes);
  Work& work = *work_of(handle_);
  work.promise();
  emulator::give(handle_,
                 [&work, from = static_cast<const char*>(device), device_pitch, to, host_pitch, rows] {
                   Work::Arrival arrival{to, host_pitch, rows.row_bytes,
                                         std::vector<char>(static_cast<size_t>(rows.rows) * rows.row_bytes)};
                   copy_rows(from, device_pitch, arrival.bytes.data(), rows.row_bytes, rows);
                   work.send(std::move(arrival));
                 });
}

void Stream::zero(void* device, size_t pitch, Rows rows) {
  if (rows.rows == 0 || rows.row_bytes == 0) return;
  check_device("zero fill", device, pitch, rows);
  emulator::give(handle_, [to = static_cast<char*>(device), pitch, rows] {
    const emulator::Access access;
    for (size_t r = 0; r < static_cast<size_t>(rows.rows); ++r)
      std::memset(to + r * pitch, 0, rows.row_bytes);
  });
}

void Stream::copy(const void* from, void* to, size_t bytes) {
  if (bytes == 0) return;
  check_device("copy within the device", from, bytes, {1, bytes});
  check_device("copy within the device", to, bytes, {1, bytes});
  emulator::give(handle_, [from = static_cast<const char*>(from), to = static_cast<char*>(to), bytes] {
    copy_rows(from, bytes, to, bytes, {1, bytes});
  });
}

void Stream::synchronize() {
  Work& work = *work_of(handle_);
  wait_for(work, work.given(), work.promised());
}

void Stream::wait(const Event& event) {
  const Mark& mark = mark_of(event.handle());
  emulator::add_work(handle_, [recorded = mark.work, given = mark.given] {
    const auto work = recorded.lock();
    return !work || work->try_finish(given);
  });
}

Event::Event(int index, Timed) : index_(index), handle_(new Mark) {}
Event::~Event() { delete &mark_of(handle_); }

void Event::record(Stream& stream) {
  const auto& work = work_of(stream.handle());
  mark_of(handle_) = {work, work->given(), work->promised(), false, std::chrono::steady_clock::now()};
}

void Event::synchronize() const {
  const Mark& mark = mark_of(handle_);
  if (const auto work = mark.work.lock()) {
    wait_for(*work, mark.given, mark.promised);
  } else {
    ++device_calls.waits;
  }
}

// Not yet, where there is anything to do, when asked for the first time.
bool Event::reached() const {
  Mark& mark = mark_of(handle_);
  const auto work = mark.work.lock();
  if (!work || (work->has_finished(mark.given) && work->has_arrived(mark.promised))) return true;
  if (!std::exchange(mark.asked, true) || !work->try_finish(mark.given)) return false;
  work->deliver(mark.promised);
  return true;
}

double Event::milliseconds_since(const Event& earlier) const {
  return std::chrono::duration<double, std::milli>(mark_of(handle_).time - mark_of(earlier.handle_).time)
      .count();
}

}  // namespace lime::cuda

void lime::emulator::give(void* stream_handle, std::function<void()> operation) {
  if (!stream_handle) return operation();
  if (!is_eager())
    return add_work(stream_handle, [operation = std::move(operation)] { return operation(), true; });
  finish_work(stream_handle);
  operation();
}

void lime::emulator::add_work(void* stream_handle, Work::Operation carry_on) {
  cuda::work_of(stream_handle)->add(std::move(carry_on));
}

void lime::emulator::finish_work(void* stream_handle) {
  Work& work = *cuda::work_of(stream_handle);
  work.finish(work.given());
}

int lime::emulator::active_device() { return cuda::active; }
