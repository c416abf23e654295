#include "launch/train_step.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "layers/loss.h"
#include "parallel/device_communicator.h"
#include "parallel/tree_sum.h"
#include "runtime/host_copy.h"
#include "runtime/memory.h"
#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {

struct TrainStep::Impl {
  ProcessGroup& group;
  Context& ctx;
  const Config& config;
  Network& network;
  AdamW& adamw;
  int64_t leaves, first_leaf, last_leaf;
  std::unique_ptr<Communicator> comm;  // of dense gradients
  std::unique_ptr<GradientBuckets> buckets;
  Tensor gradient;    // the step's summed dense gradient, 1 x size
  Tensor losses;      // weighted loss sums by micro-batch and task, on the device
  PinnedBuffer mine;  // the same, on the host when the device was waited for
  Tensor scalar;      // what the tables are given and give: 1 x 1, f64, on the device
  std::unique_ptr<Lookup> lookup;
  const GlobalBatch* lookup_batch = nullptr;  // whose lookup it is

  Impl(ProcessGroup& g, Context& c, const Config& cfg, Network& n, AdamW& a)
      : group(g),
        ctx(c),
        config(cfg),
        network(n),
        adamw(a),
        leaves(cfg.train.micro_batches),
        mine(c.device(), sizeof(double) * static_cast<size_t>(leaves) * cfg.tasks.size()) {
    std::tie(first_leaf, last_leaf) = leaves_of(leaves, g.rank(), g.size());
    const ParameterStore& parameters = network.parameters();
    std::vector<int64_t> ends;  // a parameter ends where the next begins
    for (const auto& parameter : parameters.all())
      if (parameter.index > 0) ends.push_back(parameter.offset);
    ends.push_back(parameters.size());
    comm = make_device_communicator(group, ctx);
    buckets = std::make_unique<GradientBuckets>(ctx, *comm, std::move(ends), last_leaf - first_leaf,
                                                static_cast<int64_t>(config.train.bucket_mb * (1 << 20)));
    network.parameters().on_ready([this](const Parameter& p) { buckets->mark_ready(p.index); });
    gradient = Tensor(ctx.device(), ctx.parameter_dtype(), 1, parameters.size());
    scalar = Tensor(ctx.device(), DType::f64, 1, 1);
    losses =
        Tensor(ctx.device(), DType::f64, last_leaf - first_leaf, static_cast<int64_t>(config.tasks.size()));
  }
  ~Impl() { network.parameters().on_ready({}); }

  View losses_on_host() const { return {mine.as<double>().data(), losses.rows(), losses.cols()}; }
  View loss_of(int64_t index) const { return losses.view().slice_rows(index, index + 1); }

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
    network.backward(ctx, *lookup, micro, index, dlogits);
  }

  // Loss sums by task over all leaves, added in leaf order on every rank. `mine` has arrived.
  std::vector<double> sum_losses() const {
    const size_t tasks = config.tasks.size();
    const auto most = static_cast<size_t>((leaves + group.size() - 1) / group.size());
    std::vector<double> padded(most * tasks, 0.0);
    std::copy_n(mine.as<double>().begin(), losses.view().size(), padded.begin());
    const std::vector<double> all = all_gather_values(group.world(), padded);
    std::vector<double> sum(tasks, 0.0);
    for (size_t i = 0; i < all.size(); ++i) sum[i % tasks] += all[i];  // padding adds nothing
    return sum;
  }
};

TrainStep::TrainStep(ProcessGroup& group, Context& ctx, const Config& config, Network& network, AdamW& adamw)
    : impl_(std::make_unique<Impl>(group, ctx, config, network, adamw)) {}

TrainStep::~TrainStep() = default;

StepOutcome TrainStep::run(const GlobalBatch& batch, const GlobalBatch* next, int64_t step,
                           double learning_rate, double sparse_lr_scale) {
  Impl& im = *impl_;
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
  {
    TraceRange range(im.ctx, "reduce rows");
    tables.reduce(*im.lookup, im.first_leaf, im.leaves);
  }
  {
    TraceRange range(im.ctx, "reduce dense (exposed)");
    im.buckets->finish(im.gradient);
  }

  // The one time that a step waits for the device: the norm of the gradient, and the losses with it.
  copy(im.ctx, im.losses.view(), im.losses_on_host());
  double squares = sum_of_squares(im.ctx, im.gradient.view());

  StepOutcome outcome;
  const std::vector<double> loss_sum = im.sum_losses();
  for (size_t k = 0; k < tasks; ++k) {
    const double weight = batch.task_weight_sum[k];
    outcome.task_loss.push_back(weight > 0 ? loss_sum[k] / weight : 0.0);
    outcome.loss += im.config.tasks[k].weight * outcome.task_loss.back();
  }
  const bool clip = im.config.train.clip_norm > 0;
  if (clip) {
    tables.gradient_sum_of_squares(*im.lookup, im.scalar);
    squares += host_copy(im.ctx, im.scalar.view()).view().data<double>()[0];
  }
  outcome.gradient_norm = std::sqrt(squares);
  outcome.finite = std::isfinite(outcome.loss) && std::isfinite(squares);

  if (outcome.finite) {
    TraceRange range(im.ctx, "update");
    const double grad_scale = clip && outcome.gradient_norm > im.config.train.clip_norm
                                  ? im.config.train.clip_norm / outcome.gradient_norm
                                  : 1.0;
    im.adamw.update(im.ctx, im.network.parameters(), im.gradient.view(), learning_rate, grad_scale, step);
    fill(im.ctx, im.scalar, grad_scale);
    tables.update(*im.lookup, im.scalar.view(), sparse_lr_scale, step);
  }
  im.lookup = std::move(next_lookup);
  im.lookup_batch = next;
  return outcome;
}

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
