// Latency of scoring one request, over candidates, history and width: what `lime bench latency` measures and
// draws.
//
// A request is served as the Scorer does it, on one thread: its history's and user's inputs are gathered from
// tables, then models with links (lime_mha, lime_xor) run their user side and score candidates from cached
// item rows, the others gather their candidates' inputs and run the whole network. Weights, ids and inputs
// are random: time does not depend on them. On a CUDA device, tables, item rows and the network are there;
// ids come from the host and logits go back to it, and a request is over when they are there.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "layers/item_rows.h"
#include "layers/ranking_model.h"
#include "model/config.h"

namespace lime {

struct RequestSize {
  int64_t candidates = 1024, history = 1024;
  int64_t width = 128;  // of the model, which is that of its queries and keys over all heads
};

struct Latency {
  double median_ms = 0, p99_ms = 0;  // nearest rank; of few requests the 99th percentile is the slowest
  int64_t requests = 0;              // measured
};
// Of the milliseconds of each request; zeros of none.
Latency latency_of(std::vector<double> ms);

struct LatencyOptions {
  Device device;
  Precision precision = Precision::f32;  // f32 on the CPU
  RankingModelConfig model;              // name, sizes; width is that of the size asked for
  RowType rows = RowType::f32;
  int64_t items = int64_t{1} << 17;  // in the tables and the cache: more than second-level caches hold
  double seconds = 1;                // a point, and at least `least` requests
  int64_t least = 5;
  uint64_t seed = 1;
};

// The model that latency is measured with unless said otherwise: 3 blocks, 4 heads, 32 links.
RankingModelConfig latency_model(const std::string& name);

// Throws UserError where model and size do not fit, or the device is not available.
Latency measure_latency(const LatencyOptions&, const RequestSize&);

// One of the three curves: everything but `what` stays at the base size.
enum class Swept : uint8_t { candidates, history, width };
std::string to_string(Swept);
struct LatencySweep {
  Swept what = Swept::candidates;
  std::vector<int64_t> values;  // ascending
};
struct MeasuredLatency {
  std::string model;
  Swept swept = Swept::candidates;
  RequestSize size;
  Latency latency;
};

struct LatencyPlan {
  std::vector<std::string> models;
  RequestSize base;
  std::vector<LatencySweep> sweeps;
  LatencyOptions options;  // its model's name is not used
};
// Throws UserError where a model and a width do not fit, or the device is not available, before anything is
// measured.
void check(const LatencyPlan&);
// Models take turns at each size, so that a machine that gets slower does so for all. `done`: after each
// point.
std::vector<MeasuredLatency> measure_latencies(
    const LatencyPlan&, const std::function<void(const MeasuredLatency&, int64_t done, int64_t total)>& done);

}  // namespace lime
