#include "runtime/device_watch.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace lime::cuda {

namespace {

constexpr std::chrono::seconds moment{2};

// Never destroyed: memory with static storage outlives it.
class Registry {
 public:
  static Registry& instance() {
    static Registry& registry = *new Registry;
    return registry;
  }
  void add(const std::shared_ptr<Watched>& watched) {
    const std::lock_guard lock(mutex_);
    all_.push_back({watched, std::this_thread::get_id()});
    empty_ = false;
  }
  // Those of this thread. Held: what one of them does may end another.
  std::vector<std::shared_ptr<Watched>> of_this_thread() {
    std::vector<std::shared_ptr<Watched>> result;
    if (empty_) return result;
    const std::lock_guard lock(mutex_);
    std::erase_if(all_, [](const Entry& e) { return e.watched.expired(); });
    empty_ = all_.empty() && kept_.empty();
    for (const Entry& e : all_) {
      auto watched = e.thread == std::this_thread::get_id() ? e.watched.lock() : nullptr;
      if (watched) result.push_back(std::move(watched));
    }
    return result;
  }
  // A failure that nobody could be told of, for the thread's next wait.
  void keep(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    kept_.emplace_back(std::this_thread::get_id(), std::move(failure));
    empty_ = false;
  }
  void rethrow_kept() {
    if (empty_) return;
    std::unique_lock lock(mutex_);
    const auto mine = std::find_if(kept_.begin(), kept_.end(),
                                   [](const auto& k) { return k.first == std::this_thread::get_id(); });
    if (mine == kept_.end()) return;
    const std::exception_ptr failure = std::move(mine->second);
    kept_.erase(mine);
    lock.unlock();
    std::rethrow_exception(failure);
  }

 private:
  struct Entry {
    std::weak_ptr<Watched> watched;
    std::thread::id thread;
  };
  std::mutex mutex_;
  std::vector<Entry> all_;
  std::vector<std::pair<std::thread::id, std::exception_ptr>> kept_;
  std::atomic<bool> empty_ = true;  // most processes have none, and ask often
};

}  // namespace

void watch(const std::shared_ptr<Watched>& watched) { Registry::instance().add(watched); }

bool look_after_watched(Watched::Clock::time_point waits_since) {
  Registry::instance().rethrow_kept();
  bool under_way = false;
  for (const auto& watched : Registry::instance().of_this_thread())
    under_way = watched->look(waits_since) || under_way;
  return under_way;
}

void wait_watchfully(const std::function<bool()>& done) {
  const auto begin = Watched::Clock::now();
  bool ended = false;
  while (look_after_watched(begin) && !ended) {  // once more behind the end, which may be that of a failure
    ended = done();
    if (!ended) sched_yield();
  }
}

void settle_watched() noexcept {
  const bool leaving = std::uncaught_exceptions() > 0;
  const auto begin = Watched::Clock::now();
  for (bool under_way = true; under_way;) {
    under_way = false;
    for (const auto& watched : Registry::instance().of_this_thread()) {
      try {
        if (!watched->look(begin)) continue;
      } catch (...) {
        if (!leaving) Registry::instance().keep(std::current_exception());
        continue;
      }
      if (leaving && Watched::Clock::now() - begin > moment) {
        watched->abandon();
      } else {
        under_way = true;
      }
    }
    if (under_way) sched_yield();
  }
}

}  // namespace lime::cuda
