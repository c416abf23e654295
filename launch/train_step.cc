#include "launch/train_step.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numbers>
#include <utility>

#include "layers/gradient_clip.h"
#include "layers/loss.h"
#include "model/device_transfer.h"
#include "parallel/device_communicator.h"
#include "parallel/tree_sum.h"
#include "runtime/cuda_device.h"
#include "runtime/primitives.h"
#include "runtime/stopwatch.h"
#include "runtime/trace.h"

namespace lime {

namespace {

// Two points of a device's work.
struct Interval {
  std::unique_ptr<cuda::Event> begin, end;
};

// Adds the time that it lives to a sum (null: none), less what this process waits for other ranks meanwhile.
class OwnWork {
 public:
  OwnWork(ProcessGroup& group, double* sum) : world_(group.world()), sum_(sum) {}
  ~OwnWork() {
    if (sum_) *sum_ += watch_.ms() - (world_.waited_ms() - waited_);
  }
  OwnWork(const OwnWork&) = delete;
  OwnWork& operator=(const OwnWork&) = delete;

 private:
  const Communicator& world_;
  double* sum_;
  const double waited_ = world_.waited_ms();
  const Stopwatch watch_;
};

}  // namespace

struct TrainStep::Impl {
  ProcessGroup& group;
  Context& ctx;
  const Config& config;
  Network& network;
  AdamW& adamw;
  int64_t leaves, first_leaf, last_leaf;
  std::unique_ptr<Communicator> comm;  // of dense gradients
  // The ranks that have the other parts of this one's histories: over the host's memory, and the device's.
  std::unique_ptr<Communicator> with_other_parts, of_parts;
  std::unique_ptr<GradientBuckets> buckets;
  // On the device:
  Tensor gradient;            // the step's summed dense gradient, 1 x size
  Tensor losses;              // weighted loss sums by micro-batch and task
  Tensor squares, of_tables;  // sums over gradients: of all, of the tables' alone
  Tensor clip;                // of the gradient: clip_scale()
  HostReturn returned;        // losses and squares
  std::unique_ptr<Lookup> lookup;
  const GlobalBatch* lookup_batch = nullptr;  // whose lookup it is

  // A step whose outcome was not asked for yet.
  struct Begun {
    int64_t step;
    std::vector<double> task_weight_sum;
    std::vector<double> losses;  // as above, padded to the most micro-batches of a rank
    double squares;              // these two when they have returned
    Interval compute;            // of a device
  };
  std::deque<Begun> begun;
  double work_ms = 0;
  std::vector<Interval> idle_intervals;

  Impl(ProcessGroup& g, Context& c, const Config& cfg, Network& n, AdamW& a)
      : group(g), ctx(c), config(cfg), network(n), adamw(a), leaves(cfg.train.leaves()), returned(c) {
    std::tie(first_leaf, last_leaf) = leaves_of(leaves, g.rank(), g.size());
    const ParameterStore& parameters = network.parameters();
    std::vector<int64_t> ends;  // a parameter ends where the next begins
    for (const auto& parameter : parameters.all())
      if (parameter.index > 0) ends.push_back(parameter.offset);
    ends.push_back(parameters.size());
    comm = make_device_communicator(group.world(), ctx);
    if (const RankPlace place = place_of(config, group); place.parts > 1) {
      with_other_parts = group.split(place.rank);
      of_parts = make_device_communicator(*with_other_parts, ctx);
      network.share_histories(of_parts.get());
    }
    buckets = std::make_unique<GradientBuckets>(ctx, *comm, std::move(ends), last_leaf - first_leaf,
                                                static_cast<int64_t>(config.train.bucket_mb * (1 << 20)));
    network.parameters().on_ready([this](const Parameter& p) { buckets->mark_ready(p.index); });
    gradient = Tensor(ctx.device(), ctx.parameter_dtype(), 1, parameters.size());
    for (Tensor* scalar : {&squares, &of_tables, &clip}) *scalar = Tensor(ctx.device(), DType::f64, 1, 1);
    fill(ctx, clip, 1);
    losses =
        Tensor(ctx.device(), DType::f64, last_leaf - first_leaf, static_cast<int64_t>(config.tasks.size()));
  }
  ~Impl() {
    network.parameters().on_ready({});
    network.share_histories(nullptr);
  }

  bool on_device() const { return ctx.device().type == DeviceType::cuda; }

  View loss_of(int64_t index) const { return losses.view().slice_rows(index, index + 1); }

  void begin(int64_t step, const std::vector<double>& task_weight_sum) {
    const auto most_leaves = static_cast<size_t>((leaves + group.size() - 1) / group.size());
    begun.push_back({step, task_weight_sum, std::vector<double>(most_leaves * config.tasks.size()), 0, {}});
    if (!on_device()) return;
    Interval& compute = begun.back().compute;
    if (idle_intervals.empty()) {
      for (auto* event : {&compute.begin, &compute.end})
        *event = std::make_unique<cuda::Event>(ctx.device().index, cuda::Event::Timed::yes);
    } else {
      compute = std::move(idle_intervals.back());
      idle_intervals.pop_back();
    }
    compute.begin->record(ctx.stream());
  }
  void end_compute() {
    if (on_device()) begun.back().compute.end->record(ctx.stream());
  }

  // Forward, loss and backward of micro-batch `index`.
  void micro_batch(const MicroBatch& micro, int64_t index, const std::vector<double>& task_scale) {
    ctx.arena().reset();
    View logits;
    Network::Targets targets;
    {
      TraceRange range(ctx, "forward");
      logits = network.forward(ctx, *lookup, micro, index, &targets);
    }
    View dlogits = ctx.alloc_parameter(logits.rows(), logits.cols());
    bce_with_logits(ctx, logits, targets.labels, targets.weights, dlogits, loss_of(index));
    for (int64_t k = 0; k < logits.cols(); ++k)
      scale(ctx, task_scale[static_cast<size_t>(k)], dlogits.slice_cols(k, k + 1));
    TraceRange range(ctx, "backward");
    buckets->begin_micro_batch(network.parameters().grads());
    network.backward(ctx, *lookup, index, dlogits);
  }

  // The norm of the gradient, clipping and the updates; what the host is told of them is on its way then.
  void update(int64_t step, double learning_rate, double sparse_lr_scale) {
    EmbeddingCollection& tables = network.tables();
    const double most = config.train.clip_norm;
    sum_of_squares(ctx, gradient.view(), squares);
    if (most > 0) {
      tables.gradient_sum_of_squares(*lookup, of_tables);
      add(ctx, of_tables.view(), squares);
    }
    clip_scale(ctx, squares.view(), most, clip);
    returned.start({losses.view(), squares.view()}, [&begun = begun.back()](std::span<const ConstView> host) {
      std::copy_n(host[0].data<double>(), host[0].size(), begun.losses.begin());
      begun.squares = *host[1].data<double>();
    });
    TraceRange range(ctx, "update");
    adamw.update(ctx, network.parameters(), gradient.view(), learning_rate, clip.view(), step);
    tables.update(*lookup, clip.view(), sparse_lr_scale, step);
  }

  // Loss sums by task over all leaves, added in leaf order on every rank.
  StepOutcome outcome(const Begun& step) const {
    const size_t tasks = config.tasks.size();
    const std::vector<double> all = all_gather_values(group.world(), step.losses);
    std::vector<double> sum(tasks, 0.0);
    for (size_t i = 0; i < all.size(); ++i) sum[i % tasks] += all[i];  // padding adds nothing
    StepOutcome outcome;
    outcome.step = step.step;
    for (size_t k = 0; k < tasks; ++k) {
      const double weight = step.task_weight_sum[k];
      outcome.task_loss.push_back(weight > 0 ? sum[k] / weight : 0.0);
      outcome.loss += config.tasks[k].weight * outcome.task_loss.back();
    }
    outcome.gradient_norm = std::sqrt(step.squares);
    outcome.finite = std::isfinite(outcome.loss) && std::isfinite(step.squares);
    return outcome;
  }
};

TrainStep::TrainStep(ProcessGroup& group, Context& ctx, const Config& config, Network& network, AdamW& adamw)
    : impl_(std::make_unique<Impl>(group, ctx, config, network, adamw)) {}

TrainStep::~TrainStep() = default;

void TrainStep::run(const GlobalBatch& batch, const GlobalBatch* next, int64_t step, double learning_rate,
                    double sparse_lr_scale) {
  Impl& im = *impl_;
  const OwnWork counted(im.group, im.on_device() ? nullptr : &im.work_ms);
  EmbeddingCollection& tables = im.network.tables();
  {
    TraceRange range(im.ctx, "lookup");
    if (im.lookup_batch != &batch) im.lookup = im.network.begin_lookup(batch.local.micro, true);
    tables.finish_lookup(*im.lookup);
  }
  std::unique_ptr<Lookup> next_lookup;
  if (next) {
    TraceRange range(im.ctx, "begin lookup");
    next_lookup = im.network.begin_lookup(next->local.micro, true);
  }

  // A task's gradient is that of task weight x mean loss: micro.weights hold task weight x sample weight.
  const size_t tasks = im.config.tasks.size();
  im.begin(step, batch.task_weight_sum);
  std::vector<double> task_scale(tasks);
  for (size_t k = 0; k < tasks; ++k) {
    const double weight = batch.task_weight_sum[k];
    task_scale[k] = weight > 0 ? im.config.tasks[k].weight / weight : 0.0;
  }
  for (size_t m = 0; m < batch.local.micro.size(); ++m) {
    const MicroBatch& micro = batch.local.micro[m];
    if (micro.empty()) {
      im.buckets->skip_micro_batch();
      fill(im.ctx, im.loss_of(static_cast<int64_t>(m)), 0);
    } else {
      im.micro_batch(micro, static_cast<int64_t>(m), task_scale);
    }
  }
  im.end_compute();
  {
    TraceRange range(im.ctx, "reduce rows");
    tables.reduce(*im.lookup, im.first_leaf, im.leaves);
  }
  {
    TraceRange range(im.ctx, "reduce dense (exposed)");
    im.buckets->finish(im.gradient);
  }

  im.update(step, learning_rate, sparse_lr_scale);
  im.lookup = std::move(next_lookup);
  im.lookup_batch = next;
}

std::vector<StepOutcome> TrainStep::outcomes(size_t under_way) {
  Impl& im = *impl_;
  im.returned.finish(under_way);
  std::vector<StepOutcome> outcomes;
  for (; im.begun.size() > under_way; im.begun.pop_front()) {
    outcomes.push_back(im.outcome(im.begun.front()));
    if (!im.on_device()) continue;
    Interval& compute = im.begun.front().compute;  // done: what outcome() read was computed after it
    im.work_ms += compute.end->milliseconds_since(*compute.begin);
    im.idle_intervals.push_back(std::move(compute));
  }
  return outcomes;
}

double TrainStep::take_work_ms() { return std::exchange(impl_->work_ms, 0); }

double learning_rate_at(const TrainConfig& config, int64_t step, int64_t total) {
  const double peak = config.learning_rate, final_rate = config.final_learning_rate;
  if (step <= config.warmup_steps)
    return peak * static_cast<double>(step) / static_cast<double>(config.warmup_steps);
  if (config.schedule == "constant") return peak;
  const double span = static_cast<double>(std::max<int64_t>(1, total - config.warmup_steps));
  const double done = std::min(1.0, static_cast<double>(step - config.warmup_steps) / span);
  if (config.schedule == "linear") return peak + (final_rate - peak) * done;
  return final_rate + 0.5 * (peak - final_rate) * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace lime
