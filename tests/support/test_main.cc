// main() of every test program: process group, logging, one voice for all ranks, and a watchdog.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include "runtime/log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

ProcessGroup* group = nullptr;
std::string rank_prefix;  // "[rank 1/4] " where there are several

// Ends the process, and through mpirun the job, when a test takes longer than allowed.
class Watchdog {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Watchdog(std::chrono::seconds limit) : limit_(limit), thread_([this] { run(); }) {}
  ~Watchdog() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  // `what` is allowed the usual limit from now, or `limit`.
  void expect(std::string what) { expect(std::move(what), limit_); }
  void expect(std::string what, std::chrono::seconds limit) {
    std::lock_guard lock(mutex_);
    what_ = std::move(what);
    allowed_ = limit;
    deadline_ = Clock::now() + limit;
    changed_.notify_all();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      if (what_.empty()) {
        changed_.wait(lock);
      } else if (changed_.wait_until(lock, deadline_) == std::cv_status::timeout &&
                 Clock::now() >= deadline_) {
        std::fprintf(stderr, "%s%s not finished after %lld s: ending the test program\n", rank_prefix.c_str(),
                     what_.c_str(), static_cast<long long>(allowed_.count()));
        std::fflush(nullptr);
        _exit(3);
      }
    }
  }

  std::chrono::seconds limit_, allowed_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string what_;
  Clock::time_point deadline_;
  bool ending_ = false;
  std::thread thread_;  // last: it reads the others
};

// Ranks other than 0 only tell of failures.
class FailurePrinter : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& test) override {
    test_ = str(test.test_suite_name(), ".", test.name());
  }
  // Runs under GoogleTest's lock: asking it for the current test here would never return.
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "%s%s: %s:%d: %s\n", rank_prefix.c_str(), test_.c_str(),
                 result.file_name() ? result.file_name() : "?", result.line_number(), result.message());
  }
  std::string test_;
};

// Sets the watchdog for every test, and makes a failure of one rank a failure of all.
class Supervisor : public testing::EmptyTestEventListener {
 public:
  Supervisor(Watchdog& watchdog, std::unique_ptr<Communicator> comm)
      : watchdog_(watchdog), comm_(std::move(comm)) {}
  bool failed_anywhere() const { return failed_anywhere_; }

 private:
  void OnTestStart(const testing::TestInfo& test) override {
    watchdog_.expect(str(test.test_suite_name(), ".", test.name()));
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    if (comm_->size() == 1) return;
    // A rank that failed may have left the others inside a collective of the test: wait for them, but not for
    // long.
    const bool failed_here = test.result()->Failed();
    const auto name = str("the other ranks' ", test.test_suite_name(), ".", test.name());
    if (failed_here) {
      watchdog_.expect(name, std::chrono::seconds(10));
    } else {
      watchdog_.expect(name);
    }
    int64_t failed = failed_here;
    comm_->all_reduce(View(&failed, 1, 1), ReduceOp::max)->wait();
    failed_anywhere_ |= failed != 0;
  }

  Watchdog& watchdog_;
  std::unique_ptr<Communicator> comm_;
  bool failed_anywhere_ = false;
};

int run(int argc, char** argv) {
  const char* limit = std::getenv("LIME_TEST_LIMIT_S");
  Watchdog watchdog(
      std::chrono::seconds(limit ? std::atoi(limit) : 120));  // outlives the group: watches its end too
  ProcessGroup the_group(&argc, &argv);
  group = &the_group;
  if (group->size() > 1) rank_prefix = str("[rank ", group->rank(), "/", group->size(), "] ");
  testing::InitGoogleTest(&argc, argv);
  start_logging(argv[0], group->rank(), group->size(), /*verbose=*/false);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (group->rank() != 0) {
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter);
  }
  auto* supervisor = new Supervisor(watchdog, group->world().duplicate());
  listeners.Append(supervisor);
  const int status = RUN_ALL_TESTS();
  const bool failed = status != 0 || supervisor->failed_anywhere();
  if (failed && status == 0) {
    std::fprintf(stderr, "%sfailed: a test failed on another rank\n", rank_prefix.c_str());
  }
  delete listeners.Release(supervisor);  // its communicator goes before the group does
  watchdog.expect("the end of the program");
  return failed ? 1 : 0;
}

}  // namespace

ProcessGroup& test_group() { return *group; }

}  // namespace lime

int main(int argc, char** argv) { return lime::run(argc, argv); }
