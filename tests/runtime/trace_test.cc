#include "runtime/trace.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/error.h"

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
