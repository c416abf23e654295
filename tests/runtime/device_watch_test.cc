#include "runtime/device_watch.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>

#include "runtime/error.h"

namespace lime::cuda {
namespace {

// Work whose looks a test answers.
struct Made final : Watched {
  std::function<bool()> answer = [] { return false; };
  int looks = 0, abandoned = 0;
  Clock::time_point waits_since{};

  bool look(Clock::time_point since) override {
    ++looks, waits_since = since;
    return abandoned == 0 && answer();
  }
  void abandon() noexcept override { ++abandoned; }
};

class DeviceWatch : public testing::Test {
 protected:
  DeviceWatch() { watch(work); }
  static std::string message(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing was thrown";
  }
  std::shared_ptr<Made> work = std::make_shared<Made>();
};

TEST_F(DeviceWatch, AWaitEndsWhenItsPointIsReached) {
  work->answer = [] { return true; };
  int asked = 0;
  wait_watchfully([&] { return ++asked == 3; });
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(work->looks, 4);
}

TEST_F(DeviceWatch, AWaitIsTheDevicesAloneWhereNothingIsUnderWay) {
  wait_watchfully([]() -> bool { throw Error("asked"); });
  EXPECT_EQ(work->looks, 1);
}

TEST_F(DeviceWatch, AWaitHearsOfAFailure) {
  work->answer = []() -> bool { throw Error("lost"); };
  EXPECT_EQ(message([] { wait_watchfully([] { return false; }); }), "lost");
}

// What is aborted ends, and with it the wait for its stream.
TEST_F(DeviceWatch, AFailureThatEndsTheWaitIsHeardOf) {
  bool ended = false;
  work->answer = [&] {
    if (ended) throw Error("lost");
    return true;
  };
  EXPECT_EQ(message([&] { wait_watchfully([&] { return ended = true; }); }), "lost");
}

TEST_F(DeviceWatch, WhatCannotBeThrownIsThrownByTheNextWait) {
  work->answer = [this]() -> bool {
    work->abandon();
    throw Error("lost");
  };
  settle_watched();
  std::thread([&] {
    EXPECT_EQ(message([] { wait_watchfully([] { return true; }); }), "nothing was thrown");
  }).join();
  EXPECT_EQ(message([] { wait_watchfully([] { return true; }); }), "lost");
  EXPECT_EQ(message([] { wait_watchfully([] { return true; }); }), "nothing was thrown");
}

TEST_F(DeviceWatch, SettlingWaitsForAllThatIsUnderWay) {
  work->answer = [this] { return work->looks < 5; };
  settle_watched();
  EXPECT_EQ(work->looks, 5);
  EXPECT_EQ(work->abandoned, 0);
}

TEST_F(DeviceWatch, AnExceptionThatPassesWaitsAMomentOnly) {
  struct Leaves {
    ~Leaves() { settle_watched(); }
  };
  work->answer = [] { return true; };
  EXPECT_EQ(message([] {
              const Leaves leaves;
              throw Error("another reason");
            }),
            "another reason");
  EXPECT_EQ(work->abandoned, 1);
  EXPECT_EQ(message([] { wait_watchfully([] { return true; }); }), "nothing was thrown");
}

TEST_F(DeviceWatch, OfItsThreadAndAsLongAsItLives) {
  work->answer = [] { return true; };
  std::thread([&] { EXPECT_FALSE(look_after_watched({})); }).join();
  const auto since = Watched::Clock::time_point(std::chrono::seconds(7));
  EXPECT_TRUE(look_after_watched(since));
  EXPECT_EQ(work->waits_since, since);
  work.reset();
  EXPECT_FALSE(look_after_watched({}));
}

}  // namespace
}  // namespace lime::cuda
