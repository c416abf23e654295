// Latency measurements and their reports: sizes, order, percentiles, and that candidates cost a model with
// links little.
#include "launch/latency.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "launch/latency_report.h"
#include "runtime/error.h"
#include "tests/launch/xml_check.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

LatencyPlan small_plan() {
  LatencyPlan plan;
  plan.models = {"mha", "lime_xor"};
  plan.base = {8, 16, 16};
  plan.sweeps = {{Swept::candidates, {4, 8}}, {Swept::history, {0, 32}}, {Swept::width, {8}}};
  plan.options.model = latency_model("lime_xor");
  plan.options.model.links = 4;
  plan.options.items = 300;
  plan.options.seconds = 1e-4;
  plan.options.least = 3;
  return plan;
}

TEST(Latency, EveryModelAtEverySizeInTurns) {
  const LatencyPlan plan = small_plan();
  int64_t calls = 0;
  const auto points = measure_latencies(plan, [&](const MeasuredLatency&, int64_t done, int64_t total) {
    EXPECT_EQ(done, ++calls);
    EXPECT_EQ(total, 10);
  });
  ASSERT_EQ(points.size(), 10u);
  const auto expect = [&](size_t i, const std::string& model, Swept swept, RequestSize size) {
    EXPECT_EQ(points[i].model, model) << i;
    EXPECT_EQ(points[i].swept, swept) << i;
    EXPECT_EQ(points[i].size.candidates, size.candidates) << i;
    EXPECT_EQ(points[i].size.history, size.history) << i;
    EXPECT_EQ(points[i].size.width, size.width) << i;
  };
  expect(0, "mha", Swept::candidates, {4, 16, 16});
  expect(1, "lime_xor", Swept::candidates, {4, 16, 16});
  expect(2, "mha", Swept::candidates, {8, 16, 16});
  expect(5, "lime_xor", Swept::history, {8, 0, 16});
  expect(9, "lime_xor", Swept::width, {8, 16, 8});
  for (const auto& p : points) {
    EXPECT_GT(p.latency.median_ms, 0);
    EXPECT_GE(p.latency.p99_ms, p.latency.median_ms);
    EXPECT_GE(p.latency.requests, 3);
  }
}

TEST(Latency, PercentilesAreNearestRanks) {
  std::vector<double> ms;
  EXPECT_EQ(latency_of(ms).requests, 0);
  EXPECT_EQ(latency_of(ms).p99_ms, 0);
  for (int i = 0; i < 200; ++i) ms.push_back((i * 77) % 200 + 1);  // 1 to 200, in no order
  const Latency latency = latency_of(ms);
  EXPECT_EQ(latency.median_ms, 100);
  EXPECT_EQ(latency.p99_ms, 198);
  EXPECT_EQ(latency.requests, 200);
  EXPECT_EQ(latency_of({3, 1}).median_ms, 1);
  EXPECT_EQ(latency_of({3, 1}).p99_ms, 3);
}

TEST(Latency, RowsOfEveryTypeAndModelsOfEveryKind) {
  for (const RowType type : {RowType::f32, RowType::f16, RowType::i8}) {
    LatencyOptions options = small_plan().options;
    options.model.name = "lime_mha";
    options.rows = type;
    EXPECT_GT(measure_latency(options, {5, 7, 8}).median_ms, 0);
  }
  for (const char* name : {"two_tower", "din", "mha", "truncated_mha", "linformer", "hstu"}) {
    LatencyOptions options = small_plan().options;
    options.model.name = name;
    EXPECT_GT(measure_latency(options, {5, 7, 8}).median_ms, 0) << name;
  }
}

TEST(Latency, OnADeviceInEveryPrecision) {
  const Device device{DeviceType::cuda, 0};
  if (const std::string missing = skip_reason(device); !missing.empty()) {
    LatencyPlan plan = small_plan();
    plan.options.device = device;
    EXPECT_THROW(check(plan), UserError);
    GTEST_SKIP() << missing;
  }
  for (const Precision precision : {Precision::f32, Precision::tf32, Precision::bf16}) {
    for (const char* name : {"hstu", "mha", "lime_mha", "lime_xor"}) {
      LatencyOptions options = small_plan().options;
      options.model.name = name;
      options.model.blocks = 2;
      options.device = device;
      options.precision = precision;
      options.rows = precision == Precision::bf16 ? RowType::i8 : RowType::f32;
      EXPECT_GT(measure_latency(options, {5, 7, 16}).median_ms, 0) << name;
    }
  }
}

TEST(Latency, SizesThatDoNotFitAreRefused) {
  LatencyOptions options = small_plan().options;
  EXPECT_THROW(measure_latency(options, {4, 4, 18}), UserError);  // 4 heads
  LatencyPlan plan = small_plan();
  EXPECT_NO_THROW(check(plan));
  plan.sweeps.push_back({Swept::width, {16, 18}});
  EXPECT_THROW(check(plan), UserError);
  options.model.name = "lime_xyz";
  EXPECT_THROW(measure_latency(options, {4, 4, 16}), UserError);
}

TEST(Latency, ReportsSayWhatWasMeasured) {
  const LatencyPlan plan = small_plan();
  std::vector<MeasuredLatency> points;
  for (const auto& model : plan.models)
    for (const int64_t c : {4, 8})
      points.push_back({model, Swept::candidates, {c, 16, 16}, {model == "mha" ? 2.0 * c : 0.5, 20, 7}});
  const Chart chart = latency_chart(plan, Swept::candidates, points);
  ASSERT_EQ(chart.series.size(), 2u);
  EXPECT_EQ(chart.series[0].y, (std::vector<double>{8, 16}));
  EXPECT_EQ(chart.series[1].x, (std::vector<double>{4, 8}));
  EXPECT_EQ(chart.series[1].high, (std::vector<double>{20, 20}));
  EXPECT_EQ(chart.title, "Latency of a request: 16 events of history, width 16");
  EXPECT_NO_THROW(parse_xml(to_svg(chart, SvgUse::alone)));

  const auto json = nlohmann::json::parse(latency_json(plan, points));
  EXPECT_EQ(json["points"].size(), 4u);
  EXPECT_EQ(json["points"][1]["candidates"], 8);
  EXPECT_EQ(json["points"][1]["median_ms"], 16.0);
  EXPECT_EQ(json["links"], 4);
  EXPECT_EQ(json["device"], "cpu");
  EXPECT_NE(latency_text(plan, points).find("16.0"), std::string::npos);

  LatencyPlan on_device = plan;
  on_device.options.device = {DeviceType::cuda, 1};
  on_device.options.precision = Precision::bf16;
  EXPECT_EQ(latency_chart(on_device, Swept::candidates, points).title,
            "Latency of a request on cuda:1 in bf16: 16 events of history, width 16");
}

}  // namespace
}  // namespace lime
