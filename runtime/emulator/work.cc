#include "runtime/emulator/work.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

#include "runtime/emulator/memory.h"
#include "runtime/philox.h"
#include "runtime/sanitizer.h"

namespace lime::emulator {

namespace {

// All streams of this process. Never destroyed: streams with static storage may outlive it.
struct Streams {
  std::mutex mutex;
  std::vector<std::weak_ptr<Work>> all;
  std::vector<std::shared_ptr<Work>> ended;  // and not done
  uint64_t waits = 0;

  static Streams& instance() {
    static Streams& streams = *new Streams;
    return streams;
  }
  std::vector<std::shared_ptr<Work>> live() {
    std::erase_if(ended, [](const auto& work) { return work->has_finished(work->given()); });
    std::erase_if(all, [](const auto& work) { return work.expired(); });
    std::vector<std::shared_ptr<Work>> result;
    for (const auto& work : all)
      if (auto held = work.lock()) result.push_back(std::move(held));
    return result;
  }
};

}  // namespace

bool is_eager() {
  static const bool eager = [] {
    const char* said = std::getenv("LIME_EMULATED_STREAMS");
    return sanitizer::finds_addresses || (said && std::string_view(said) == "eager");
  }();
  return eager;
}

std::shared_ptr<Work> Work::make(int device) {
  std::shared_ptr<Work> work(new Work(device));
  Streams& streams = Streams::instance();
  const std::lock_guard lock(streams.mutex);
  streams.all.push_back(work);
  return work;
}

void Work::outlive(std::shared_ptr<Work> work) {
  Streams& streams = Streams::instance();
  const std::lock_guard lock(streams.mutex);
  streams.ended.push_back(std::move(work));
}

void Work::add(Operation operation) {
  const std::lock_guard lock(mutex_);
  pending_.push_back(std::move(operation));
}

int64_t Work::given() const {
  const std::lock_guard lock(mutex_);
  return finished_ + static_cast<int64_t>(pending_.size());
}

bool Work::has_finished(int64_t up_to) const {
  const std::lock_guard lock(mutex_);
  return finished_ >= up_to;
}

bool Work::try_finish(int64_t up_to) {
  if (has_finished(up_to)) return true;  // also asked by an operation of this stream, about those before it
  const Access access;  // once for all of them; before any other lock, as wherever work is done
  const std::lock_guard order(at_work_);
  std::unique_lock lock(mutex_);
  while (finished_ < up_to && !pending_.empty()) {
    const Operation& first = pending_.front();  // stays where it is: others only add behind it
    lock.unlock();
    std::exception_ptr error;
    try {
      if (!first()) return false;
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    pending_.pop_front();
    ++finished_;
    if (error) std::rethrow_exception(error);
  }
  return true;
}

void Work::finish(int64_t up_to) {
  while (!try_finish(up_to)) sched_yield();
}

void Work::promise() {
  const std::lock_guard lock(mutex_);
  ++promised_;
}

int64_t Work::promised() const {
  const std::lock_guard lock(mutex_);
  return promised_;
}

void Work::send(Arrival arrival) {
  const std::lock_guard lock(mutex_);
  arrivals_.push_back(std::move(arrival));
}

void Work::deliver(int64_t up_to) {
  const std::lock_guard lock(mutex_);
  while (arrived_ < up_to && !arrivals_.empty()) {
    const Arrival arrive = std::move(arrivals_.front());
    arrivals_.pop_front();
    ++arrived_;
    arrive();
  }
}

bool Work::has_arrived(int64_t up_to) const {
  const std::lock_guard lock(mutex_);
  return arrived_ >= up_to;
}

void Work::let_others_go_on(const Work* waited_for) {
  if (is_eager()) return;
  Streams& streams = Streams::instance();
  std::vector<std::shared_ptr<Work>> others;
  uint64_t coins = 0;
  {
    const std::lock_guard lock(streams.mutex);
    others = streams.live();
    coins = mix64(++streams.waits);
  }
  for (const auto& other : others) {
    if (other.get() != waited_for && coins % 2 == 1) other->try_finish(other->given());
    coins /= 2;
  }
}

std::string Work::finish_all(int device) noexcept {
  Streams& streams = Streams::instance();
  std::vector<std::shared_ptr<Work>> all;
  {
    const std::lock_guard lock(streams.mutex);
    all = streams.live();
  }
  std::string failure;
  for (const auto& work : all) {
    if (work->device_ != device) continue;
    std::exception_ptr error;
    while (!work->has_finished(work->given())) {
      try {
        work->finish(work->given());
      } catch (const std::exception& e) {
        error = std::current_exception();
        failure = e.what();
      }
    }
    if (error) work->add([error]() -> bool { std::rethrow_exception(error); });
  }
  return failure;
}

}  // namespace lime::emulator
