#include "launch/latency.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "launch/run_context.h"
#include "layers/cached_scoring.h"
#include "layers/device_offsets.h"
#include "layers/linear.h"
#include "runtime/error.h"
#include "runtime/philox.h"
#include "runtime/stopwatch.h"

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

RankingModelConfig config_of(const LatencyOptions& options, int64_t width) {
  RankingModelConfig c = options.model;
  c.history_features = item_width + 2 * side_width;
  c.candidate_features = c.user_features = item_width;
  c.width = width;
  c.tasks = 1;
  return c;
}

// Host memory as it is, on the context's device.
std::shared_ptr<void> upload(Context& ctx, const void* from, size_t bytes) {
  std::shared_ptr<void> to = cuda::allocate(ctx.device().index, bytes);
  ctx.stream().to_device(from, bytes, to.get(), bytes, {1, bytes});
  ctx.synchronize();
  return to;
}

// All that one request needs, with random weights and ids.
class Bench {
 public:
  Bench(const LatencyOptions& options, const RequestSize& size)
      : options_(options),
        size_(size),
        ctx_(options.device, options.precision),
        model_(config_of(options, size.width), store_) {
    const auto stream = [&](const char* name) { return Philox(options.seed, stream_of(name)); };
    store_.allocate(ctx_, options.seed);
    items_ = table(options.items, item_width, stream("items"));
    sides_ = table(side_rows, side_width, stream("sides"));
    const Tensor user = random_rows(1, item_width, stream("user"));
    user_ = Tensor(ctx_.device(), ctx_.dtype(), 1, item_width);
    copy(ctx_, in_row_type(ctx_, on_device(user.view())), user_);
    history_ids_ = draw_ids(size.history, options.items, stream("history"));
    action_ids_ = draw_ids(size.history, side_rows, stream("actions"));
    age_ids_ = draw_ids(size.history, side_rows, stream("ages"));
    candidate_ids_ = draw_ids(size.candidates, options.items, stream("candidates"));
    logits_ = Tensor(ctx_.device(), DType::f32, size.candidates, 1);
    host_logits_ = Tensor(Device{}, DType::f32, size.candidates, 1);
    if (CachedScoring::supports(model_.config().name)) cache();
    ctx_.synchronize();
  }

  // The logits are in host memory when it returns.
  void request() {
    ctx_.arena().reset();
    const View history = ctx_.alloc(size_.history, item_width + 2 * side_width);
    decode_rows(ctx_, items_.rows, history_ids_, history.slice_cols(0, item_width));
    decode_rows(ctx_, sides_.rows, action_ids_, history.slice_cols(item_width, item_width + side_width));
    decode_rows(ctx_, sides_.rows, age_ids_, history.slice_cols(item_width + side_width, history.cols()));
    if (cached_) {
      cached_->score(ctx_, cached_->request(ctx_, history, user_.view()), rows_, candidate_ids_, logits_);
    } else {
      const View candidates = ctx_.alloc(size_.candidates, item_width);
      decode_rows(ctx_, items_.rows, candidate_ids_, candidates);
      const std::vector<int64_t> h = {0, size_.history}, c = {0, size_.candidates};
      model_.forward(ctx_,
                     {history, candidates, user_.view(), lime::on_device(ctx_, h), lime::on_device(ctx_, c)},
                     logits_);
    }
    if (ctx_.device() == Device{}) return;
    copy(ctx_, logits_.view(), host_logits_);
    ctx_.synchronize();
  }

 private:
  // A table, as rows that can be looked up.
  struct Table {
    Tensor values;
    ItemRows rows;
  };
  Table table(int64_t rows, int64_t cols, const Philox& random) {
    const Tensor host = random_rows(rows, cols, random);
    Table t{on_device(host.view()), {}};
    t.rows = {RowType::f32, rows, 0, cols, t.values.view().raw(), nullptr};
    return t;
  }
  // f32 values, where the context computes.
  Tensor on_device(const ConstView& host) {
    Tensor there(ctx_.device(), DType::f32, host.rows(), host.cols());
    copy(ctx_, host, there);
    ctx_.synchronize();
    return there;
  }

  // Every item's row, as in a cache of them all.
  void cache() {
    cached_ = std::make_unique<CachedScoring>(ctx_, model_);
    const int64_t columns = cached_->columns();
    const auto bytes = static_cast<size_t>(columns) * size_of(options_.rows);
    row_bytes_.resize(static_cast<size_t>(options_.items) * bytes);
    scales_.resize(options_.rows == RowType::i8 ? static_cast<size_t>(2 * options_.items) : 0);
    const Tensor host(Device{}, DType::f32, encode_batch, columns);
    for (int64_t i = 0; i < options_.items; i += encode_batch) {
      ctx_.arena().reset();
      const int64_t n = std::min(encode_batch, options_.items - i);
      const View rows = ctx_.alloc(n, columns), wide = ctx_.alloc_parameter(n, columns),
                 encoded = host.view().slice_rows(0, n);
      cached_->item_rows(ctx_, in_row_type(ctx_, items_.values.view().slice_rows(i, i + n)), rows);
      copy(ctx_, rows, wide);
      copy(ctx_, wide, encoded);
      ctx_.synchronize();
      encode_rows(encoded, cached_->weights(), options_.rows,
                  row_bytes_.data() + static_cast<size_t>(i) * bytes,
                  scales_.empty() ? nullptr : scales_.data() + 2 * i);
    }
    const void* values = row_bytes_.data();
    const void* scales = scales_.empty() ? nullptr : scales_.data();
    if (ctx_.device().type == DeviceType::cuda) {
      values = (device_rows_ = upload(ctx_, row_bytes_.data(), row_bytes_.size())).get();
      if (scales)
        scales = (device_scales_ = upload(ctx_, scales_.data(), scales_.size() * sizeof(float))).get();
    }
    rows_ = {options_.rows,     options_.items, cached_->weights(),
             cached_->hidden(), values,         static_cast<const float*>(scales)};
  }

  LatencyOptions options_;
  RequestSize size_;
  RunContext ctx_;
  ParameterStore store_;
  RankingModel model_;
  Table items_, sides_;
  Tensor user_, logits_, host_logits_;
  std::vector<int32_t> history_ids_, action_ids_, age_ids_, candidate_ids_;
  std::unique_ptr<CachedScoring> cached_;
  std::vector<std::byte> row_bytes_;
  std::vector<float> scales_;
  std::shared_ptr<void> device_rows_, device_scales_;
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
  Bench bench(options, size);
  for (int i = 0; i < 2; ++i) bench.request();  // take memory: the arena's in one piece from the second on
  std::vector<double> ms;
  for (double spent = 0; spent < options.seconds || static_cast<int64_t>(ms.size()) < options.least;) {
    const Stopwatch watch;
    bench.request();
    const double seconds = watch.seconds();
    ms.push_back(1e3 * seconds);
    spent += seconds;
  }
  return latency_of(std::move(ms));
}

Latency latency_of(std::vector<double> ms) {
  if (ms.empty()) return {};
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
  const RunContext context(options.device, options.precision);
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
