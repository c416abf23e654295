#include "launch/latency_report.h"

#include <nlohmann/json.hpp>

#include "launch/text_table.h"
#include "launch/version.h"
#include "runtime/primitives.h"
#include "runtime/text.h"
#include "serving/item_cache.h"

namespace lime {
namespace {

using Json = nlohmann::ordered_json;

int64_t at(const RequestSize& size, Swept swept) {
  return swept == Swept::candidates ? size.candidates : swept == Swept::history ? size.history : size.width;
}

// "1,024 events of history, width 128"
std::string rest_of(const RequestSize& size, Swept swept) {
  std::string text;
  const auto say = [&](Swept what, const std::string& words) {
    if (what != swept) text += (text.empty() ? "" : ", ") + words;
  };
  say(Swept::candidates, grouped(size.candidates) + " candidates");
  say(Swept::history, grouped(size.history) + " events of history");
  say(Swept::width, "width " + grouped(size.width));
  return text;
}

// "", or " on cuda:0 in bf16"
std::string place_of(const LatencyOptions& options) {
  if (options.device == Device{}) return "";
  return " on " + to_string(options.device) + " in " + to_string(options.precision);
}

std::string axis_of(Swept swept) {
  return swept == Swept::candidates ? "candidates a request"
         : swept == Swept::history  ? "events of history"
                                    : "width of queries and keys, all heads";
}

}  // namespace

Chart latency_chart(const LatencyPlan& plan, Swept swept, const std::vector<MeasuredLatency>& points) {
  Chart chart;
  chart.title = "Latency of a request" + place_of(plan.options) + ": " + rest_of(plan.base, swept);
  chart.x = {axis_of(swept), Scale::log2, {}};
  chart.y = {"median, up to the 99th percentile (ms)", Scale::log10, {}};
  for (const auto& model : plan.models) {
    ChartSeries series;
    series.name = model;
    series.slot = static_cast<int>(chart.series.size());
    for (const auto& p : points) {
      if (p.model != model || p.swept != swept) continue;
      series.x.push_back(static_cast<double>(at(p.size, swept)));
      series.y.push_back(p.latency.median_ms);
      series.low.push_back(p.latency.median_ms);
      series.high.push_back(p.latency.p99_ms);
    }
    chart.series.push_back(series);
  }
  return chart;
}

std::string latency_json(const LatencyPlan& plan, const std::vector<MeasuredLatency>& points) {
  const RankingModelConfig& model = plan.options.model;
  Json json = {{"what", "latency of scoring one request"},
               {"version", build_info().version},
               {"commit", build_info().commit},
               {"cpu", cpu_model()},
               {"amx", cpu_gemm_uses_amx()},
               {"threads", 1},
               {"device", to_string(plan.options.device)},
               {"precision", to_string(plan.options.precision)},
               {"heads", model.heads},
               {"links", model.links},
               {"blocks", model.blocks},
               {"head_hidden", model.head_hidden},
               {"items", plan.options.items},
               {"rows", to_string(plan.options.rows)}};
  for (const auto& p : points) {
    json["points"].push_back({{"sweep", to_string(p.swept)},
                              {"model", p.model},
                              {"candidates", p.size.candidates},
                              {"history", p.size.history},
                              {"width", p.size.width},
                              {"median_ms", p.latency.median_ms},
                              {"p99_ms", p.latency.p99_ms},
                              {"requests", p.latency.requests}});
  }
  return json.dump(2) + "\n";
}

std::string latency_text(const LatencyPlan& plan, const std::vector<MeasuredLatency>& points) {
  std::string text;
  for (const auto& sweep : plan.sweeps) {
    std::vector<std::vector<std::string>> rows = {{to_string(sweep.what)}};
    for (const auto& model : plan.models) rows[0].push_back(model);
    for (const int64_t value : sweep.values) {
      rows.push_back({grouped(value)});
      for (const auto& p : points) {
        if (p.swept == sweep.what && at(p.size, sweep.what) == value)
          rows.back().push_back(grouped(p.latency.median_ms, p.latency.median_ms < 10 ? 3 : 1));
      }
    }
    text += "median ms of a request" + place_of(plan.options) + ", " + rest_of(plan.base, sweep.what) + "\n" +
            aligned_table(rows) + "\n";
  }
  return text;
}

}  // namespace lime
