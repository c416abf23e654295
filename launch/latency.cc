#include "launch/latency.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>

#include "layers/cached_scoring.h"
#include "runtime/error.h"
#include "runtime/philox.h"

namespace lime {
namespace {

constexpr int64_t item_width = 64, side_width = 16, side_rows = 64;
constexpr int64_t encode_batch = 4096;

Tensor random_rows(int64_t rows, int64_t cols, const Philox& random) {
  Tensor t(Device{}, DType::f32, rows, cols);
  float* values = t.view().data<float>();
  for (int64_t i = 0; i < rows * cols; ++i)
    values[i] = static_cast<float>(2 * random.uniform(static_cast<uint64_t>(i)) - 1);
  return t;
}

// Popular rows more often, as in logs.
std::vector<int32_t> draw_ids(int64_t n, int64_t rows, const Philox& random) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<int32_t>(static_cast<double>(rows) * std::pow(random.uniform(i), 4));
  return ids;
}

void gather(const Tensor& table, const std::vector<int32_t>& ids, View out) {
  const auto bytes = static_cast<size_t>(table.cols()) * sizeof(float);
  const float* rows = table.view().data<float>();
  for (int64_t i = 0; i < out.rows(); ++i)
    std::memcpy(out.data<float>() + i * out.stride(), rows + ids[static_cast<size_t>(i)] * table.cols(),
                bytes);
}

RankingModelConfig config_of(const LatencyOptions& options, int64_t width) {
  RankingModelConfig c = options.model;
  c.history_features = item_width + 2 * side_width;
  c.candidate_features = c.user_features = item_width;
  c.width = width;
  c.tasks = 1;
  return c;
}

// All that one request needs, with random weights and ids.
class Bench {
 public:
  Bench(const LatencyOptions& options, const RequestSize& size)
      : options_(options), size_(size), model_(config_of(options, size.width), store_) {
    const auto stream = [&](const char* name) { return Philox(options.seed, stream_of(name)); };
    store_.allocate(ctx_, options.seed);
    items_ = random_rows(options.items, item_width, stream("items"));
    sides_ = random_rows(side_rows, side_width, stream("sides"));
    user_ = random_rows(1, item_width, stream("user"));
    history_ids_ = draw_ids(size.history, options.items, stream("history"));
    action_ids_ = draw_ids(size.history, side_rows, stream("actions"));
    age_ids_ = draw_ids(size.history, side_rows, stream("ages"));
    candidate_ids_ = draw_ids(size.candidates, options.items, stream("candidates"));
    logits_ = Tensor(Device{}, DType::f32, size.candidates, 1);
    if (CachedScoring::supports(model_.config().name)) cache();
  }

  void request() {
    ctx_.arena().reset();
    const View history = ctx_.alloc(size_.history, item_width + 2 * side_width);
    gather(items_, history_ids_, history.slice_cols(0, item_width));
    gather(sides_, action_ids_, history.slice_cols(item_width, item_width + side_width));
    gather(sides_, age_ids_, history.slice_cols(item_width + side_width, history.cols()));
    if (cached_) {
      cached_->score(ctx_, cached_->request(ctx_, history, user_.view()), rows_, candidate_ids_, logits_);
      return;
    }
    const View candidates = ctx_.alloc(size_.candidates, item_width);
    gather(items_, candidate_ids_, candidates);
    const std::vector<int64_t> h = {0, size_.history}, c = {0, size_.candidates};
    model_.forward(ctx_, {history, candidates, user_.view(), Jagged(h), Jagged(c)}, logits_);
  }

 private:
  // Every item's row, as in a cache of them all.
  void cache() {
    cached_ = std::make_unique<CachedScoring>(ctx_, model_);
    const int64_t columns = cached_->columns();
    const auto bytes = static_cast<size_t>(columns) * size_of(options_.rows);
    row_bytes_.resize(static_cast<size_t>(options_.items) * bytes);
    scales_.resize(options_.rows == RowType::i8 ? static_cast<size_t>(2 * options_.items) : 0);
    for (int64_t i = 0; i < options_.items; i += encode_batch) {
      ctx_.arena().reset();
      const int64_t n = std::min(encode_batch, options_.items - i);
      const View rows = ctx_.alloc(n, columns);
      cached_->item_rows(ctx_, items_.view().slice_rows(i, i + n), rows);
      encode_rows(rows, cached_->weights(), options_.rows, row_bytes_.data() + static_cast<size_t>(i) * bytes,
                  scales_.empty() ? nullptr : scales_.data() + 2 * i);
    }
    rows_ = {options_.rows,     options_.items,    cached_->weights(),
             cached_->hidden(), row_bytes_.data(), scales_.empty() ? nullptr : scales_.data()};
  }

  LatencyOptions options_;
  RequestSize size_;
  Context ctx_;
  ParameterStore store_;
  RankingModel model_;
  Tensor items_, sides_, user_, logits_;
  std::vector<int32_t> history_ids_, action_ids_, age_ids_, candidate_ids_;
  std::unique_ptr<CachedScoring> cached_;
  std::vector<std::byte> row_bytes_;
  std::vector<float> scales_;
  ItemRows rows_;
};

}  // namespace

RankingModelConfig latency_model(const std::string& name) {
  RankingModelConfig c;
  c.name = name;
  c.heads = 4;
  c.links = 32;
  c.blocks = 3;
  c.head_hidden = 128;
  c.max_positions = 0;
  return c;
}

Latency measure_latency(const LatencyOptions& options, const RequestSize& size) {
  using Clock = std::chrono::steady_clock;
  Bench bench(options, size);
  bench.request();  // takes memory
  std::vector<double> ms;
  for (double spent = 0; spent < options.seconds || static_cast<int64_t>(ms.size()) < options.least;) {
    const auto begin = Clock::now();
    bench.request();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    ms.push_back(1e3 * seconds);
    spent += seconds;
  }
  std::sort(ms.begin(), ms.end());
  const auto rank = [&](double share) {
    return ms[static_cast<size_t>(std::ceil(share * static_cast<double>(ms.size()))) - 1];
  };
  return {rank(0.5), rank(0.99), static_cast<int64_t>(ms.size())};
}

std::string to_string(Swept swept) {
  return swept == Swept::candidates ? "candidates" : swept == Swept::history ? "history" : "width";
}

void check(const LatencyPlan& plan) {
  LatencyOptions options = plan.options;
  const auto make = [&](int64_t width) {
    ParameterStore store;
    RankingModel(config_of(options, width), store);
  };
  for (const auto& model : plan.models) {
    options.model.name = model;
    make(plan.base.width);
    for (const auto& sweep : plan.sweeps)
      if (sweep.what == Swept::width) std::for_each(sweep.values.begin(), sweep.values.end(), make);
  }
}

std::vector<MeasuredLatency> measure_latencies(
    const LatencyPlan& plan, const std::function<void(const MeasuredLatency&, int64_t, int64_t)>& done) {
  int64_t total = 0;
  for (const auto& sweep : plan.sweeps)
    total += static_cast<int64_t>(sweep.values.size() * plan.models.size());
  std::vector<MeasuredLatency> points;
  for (const auto& sweep : plan.sweeps) {
    for (const int64_t value : sweep.values) {
      for (const auto& model : plan.models) {
        MeasuredLatency point = {model, sweep.what, plan.base, {}};
        (sweep.what == Swept::candidates ? point.size.candidates
         : sweep.what == Swept::history  ? point.size.history
                                         : point.size.width) = value;
        LatencyOptions options = plan.options;
        options.model.name = model;
        point.latency = measure_latency(options, point.size);
        points.push_back(point);
        if (done) done(point, static_cast<int64_t>(points.size()), total);
      }
    }
  }
  return points;
}

}  // namespace lime
