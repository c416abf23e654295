#include "runtime/trace.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/error.h"
#include "runtime/primitives.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

std::string fresh_directory() {
  std::string path = testing::TempDir() + "/lime_trace_XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

TEST(Trace, WritesChromeJson) {
  Tracer tracer(3);
  {
    const TraceRange outer(&tracer, "outer \"quoted\"");
    const TraceRange inner(&tracer, "inner");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::thread([&] { const TraceRange elsewhere(&tracer, "elsewhere"); }).join();

  const std::string directory = fresh_directory(), path = directory + "/trace.json";
  tracer.write_chrome_json(path);
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file);
  std::filesystem::remove_all(directory);

  std::map<std::string, nlohmann::json> by_name;
  for (const auto& event : json.at("traceEvents")) {
    EXPECT_EQ(event.at("pid"), 3);
    if (event.at("ph") == "X") by_name[event.at("name")] = event;
  }
  ASSERT_EQ(by_name.size(), 3u);
  const auto &outer = by_name.at("outer \"quoted\""), &inner = by_name.at("inner");
  EXPECT_GE(inner.at("dur").get<int64_t>(), 2000);
  EXPECT_LE(outer.at("ts").get<int64_t>(), inner.at("ts").get<int64_t>());
  EXPECT_EQ(outer.at("tid"), inner.at("tid"));
  EXPECT_NE(outer.at("tid"), by_name.at("elsewhere").at("tid"));
  EXPECT_EQ(json.at("otherData").at("dropped"), 0);
}

TEST(Trace, TotalsAreTakenOnce) {
  Tracer tracer;
  const auto t = Tracer::Clock::now();
  tracer.add("a", t, t + std::chrono::milliseconds(2));
  tracer.add("a", t, t + std::chrono::milliseconds(3));
  tracer.add("b", t, t + std::chrono::microseconds(500));
  const auto totals = tracer.take_totals_ms();
  EXPECT_DOUBLE_EQ(totals.at("a"), 5);
  EXPECT_DOUBLE_EQ(totals.at("b"), 0.5);
  EXPECT_TRUE(tracer.take_totals_ms().empty());
}

// The emulator's device takes as long as the host that does its work; a GPU, some time.
TEST(Trace, TimesADevicesWorkThere) {
  for (const Device device : test_cuda_devices()) {
    if (!skip_reason(device).empty()) GTEST_SKIP() << skip_reason(device);
    Context ctx(device);
    Tensor x(device, DType::f32, 1000, 1000);
    Tracer tracer(0);
    ctx.set_tracer(&tracer);
    {
      const TraceRange outer(ctx, "outer");
      for (int i = 0; i < 3; ++i) {
        const TraceRange inner(ctx, "inner");
        fill(ctx, x, i);
      }
    }
    ctx.synchronize();
    const auto totals = tracer.take_totals_ms();
    EXPECT_GT(totals.at("inner"), 0);
    EXPECT_GE(totals.at("outer"), totals.at("inner"));

    const std::string directory = fresh_directory(), path = directory + "/trace.json";
    tracer.write_chrome_json(path);
    std::ifstream file(path);
    const auto json = nlohmann::json::parse(file);
    std::filesystem::remove_all(directory);
    std::map<std::string, std::vector<nlohmann::json>> by_thread;
    int64_t on_device = -1;
    for (const auto& event : json.at("traceEvents")) {
      if (event.at("name") == "thread_name") on_device = event.at("tid").get<int64_t>();
      if (event.at("ph") == "X") by_thread[event.at("tid") == on_device ? "device" : "host"].push_back(event);
    }
    ASSERT_EQ(by_thread["device"].size(), 4u);
    EXPECT_EQ(by_thread["host"].size(), 4u);
    const auto& outer = by_thread["device"].back();
    EXPECT_EQ(outer.at("name"), "outer");
    for (const auto& event : by_thread["device"]) {
      EXPECT_GE(event.at("ts"), outer.at("ts").get<int64_t>() - 1);
      EXPECT_LE(event.at("ts").get<int64_t>() + event.at("dur").get<int64_t>(),
                outer.at("ts").get<int64_t>() + outer.at("dur").get<int64_t>() + 2);
    }
    EXPECT_TRUE(tracer.take_totals_ms().empty());

    Tracer totals_only(0, false);
    ctx.set_tracer(&totals_only);
    { const TraceRange range(ctx, "on the host"); }
    EXPECT_EQ(totals_only.take_totals_ms().size(), 1u);
  }
}

TEST(Trace, NothingHappensWithoutATracer) {
  const Context ctx;
  const TraceRange range(ctx, "nowhere");
  EXPECT_EQ(ctx.tracer(), nullptr);
}

TEST(Trace, ReportsAFileThatCannotBeWritten) {
  EXPECT_THROW(Tracer().write_chrome_json("/nonexistent/folder/trace.json"), Error);
}

}  // namespace
}  // namespace lime
