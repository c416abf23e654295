#include "launch/trainer.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "launch/batch_source.h"
#include "launch/held_out.h"
#include "launch/host_items.h"
#include "launch/metrics_log.h"
#include "launch/number_features.h"
#include "launch/progress.h"
#include "launch/rank_work.h"
#include "launch/run_context.h"
#include "launch/run_directory.h"
#include "launch/running_entropy.h"
#include "launch/same_everywhere.h"
#include "launch/stop_signal.h"
#include "launch/table_sizes.h"
#include "launch/train_checks.h"
#include "launch/train_step.h"
#include "model/checkpoint_files.h"
#include "model/network.h"
#include "model/run_choice.h"
#include "parallel/device_communicator.h"
#include "runtime/durable_file.h"
#include "runtime/text.h"
#include "runtime/trace.h"

namespace lime {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

class Trainer {
 public:
  Trainer(ProcessGroup& group, const Config& config, const TrainOptions& options)
      : group_(group),
        config_(config),
        options_(options),
        dataset_(open_everywhere(group, config.data.path)),
        ctx_(device_of_rank(config.device, group), config),
        entropy_(config_.tasks),
        tracer_(group.rank(), !options.trace_path.empty()) {
    check_training(config_, dataset_, group_.size());
    directory_ = std::make_unique<RunDirectory>(group_, options_.run_directory, options_.resume);
    of_tables_ = make_device_communicator(group_.world(), ctx_);
    network_ = std::make_unique<Network>(ctx_, group_.world(), config_, dataset_.schema(), of_tables_.get());
    adamw_ = std::make_unique<AdamW>(ctx_, network_->parameters(), config_.train.adamw);
    if (options_.resume) restore();
    if (resumed_from_.empty() && !config_.train.from.empty()) load_first_weights();
    state_.order = order();
    ctx_.set_tracer(&tracer_);
  }

  int run() {
    items_ = items_of_host(group_, dataset_, config_.features);
    BatchSource source(group_, dataset_, config_, state_.epoch, state_.positions, items_);
    const int64_t total_steps = planned_steps(config_.train, source);
    const std::vector<std::string> hosts = all_gather_texts(group_.world(), group_.host());
    directory_->start(config_, hosts);
    if (root()) log_ = std::make_unique<MetricsLog>(options_.run_directory, state_.step);
    Progress progress(root(), total_steps, config_.train.log_every);
    progress_ = &progress;
    announce();
    work_ = std::make_unique<RankWork>(hosts);

    const StopSignal signal("stopping after this step, or within an evaluation");
    held_out_ = std::make_unique<HeldOut>(HeldOutRun{group_, ctx_, config_, dataset_, items_,
                                                     options_.run_directory, signal, log_.get(), progress});
    const End end = take_steps(source, total_steps, signal);
    if (end == End::steps || end == End::patience) {
      finish(end);
    } else {
      if (state_.step > saved_step_) checkpoint(false);
      progress.message(str("stopped at step ", state_.step,
                           end == End::signal_in_evaluation ? ", in its evaluation" : "",
                           "; go on with: lime train --resume ", options_.run_directory));
    }
    write_trace();
    return 0;
  }

 private:
  // What ended a job's steps: the last one was done, train.patience, or a signal.
  enum class End : uint8_t { steps, patience, signal, signal_in_evaluation };

  bool root() const { return group_.rank() == 0; }

  End take_steps(BatchSource& source, int64_t total_steps, const StopSignal& signal) {
    TrainStep train_step(group_, ctx_, config_, *network_, *adamw_);
    told_ = Clock::now();  // the first step's time holds its wait for data, as all others' do
    std::unique_ptr<GlobalBatch> batch = beyond_last_step() ? nullptr : fetch(source, train_step, signal);
    if (batch && state_.step == 0 && config_.train.from.empty())
      network_->model().start_at(ctx_, base_logits(*batch));
    std::optional<End> end;
    if (batch && batch->stop) end = End::signal;
    if (batch && !end && held_out_->was_given_up(state_.step)) end = evaluate();
    if (batch && !end && held_out_->best().patience_is_over()) end = End::patience;
    while (batch && !end) {
      const bool last = config_.train.max_steps > 0 && state_.step + 1 >= config_.train.max_steps;
      std::unique_ptr<GlobalBatch> next = last ? nullptr : fetch(source, train_step, signal);
      if (next && next->stop) end = End::signal;
      const bool more = next && !end;
      const bool evaluates = more && held_out_->due(state_.step + 1);
      // What the next step looks up is not on its way while an evaluation looks up.
      step(train_step, *batch, evaluates ? nullptr : next.get(), total_steps);
      if (more && due(config_.train.checkpoint_every, state_.step)) {
        hear(train_step, 0);
        checkpoint(false);
      }
      if (evaluates) {
        hear(train_step, 0);
        end = evaluate();
      }
      batch = std::move(next);
    }
    hear(train_step, 0);
    return end.value_or(End::steps);
  }

  // Collective. Held-out days, between two steps. What ends the job, if anything does.
  std::optional<End> evaluate() {
    const bool done = held_out_->evaluate_on_the_way(*network_, state_.step, [this] {
      if (state_.step > saved_step_) checkpoint(false);
    });
    told_ = Clock::now();  // no part of a step
    if (!done) return End::signal_in_evaluation;
    if (held_out_->best().patience_is_over()) return End::patience;
    return std::nullopt;
  }

  ReadingOrder order() const {
    return reading_order(dataset_, dataset_.select_days(config_.data.train, "data.train"),
                         config_.data.shuffle ? config_.data.shuffle_window : 0);
  }

  void restore() {
    refuse_changes(config_, dataset_, options_.run_directory);
    const auto newest = newest_good_checkpoint(group_.world(), options_.run_directory);
    if (newest) {
      state_ = load_checkpoint(group_.world(), *newest, config_, *network_, adamw_.get());
      if (!state_.positions.empty() && !state_.order.days.empty())
        refuse_other_order(state_.order, order(), str("checkpoint ", newest->directory()));
      std::vector<std::string> days = dataset_.select_days(config_.data.train, "data.train");
      const std::vector<std::string> held_out = dataset_.days_among(config_.data.eval, "data.eval");
      days.insert(days.end(), held_out.begin(), held_out.end());
      dataset_ = as_read(dataset_, state_.order, days);
      resumed_from_ = newest->directory();
      first_step_ = saved_step_ = state_.step;
      entropy_.restore(state_.extra);
    } else if (!list_checkpoints(options_.run_directory).empty()) {
      throw UserError(str(options_.run_directory,
                          "/checkpoints: none of its checkpoints is whole; remove them to start anew"));
    }
  }

  void load_first_weights() {
    Communicator& world = group_.world();
    const auto verified = options_.first_weights  // none: the run was stopped before its first checkpoint
                              ? *options_.first_weights
                              : VerifiedCheckpoint(world, config_.train.from);
    load_weights(world, verified, config_, *network_);
  }

  bool beyond_last_step() const {
    return config_.train.max_steps > 0 && state_.step >= config_.train.max_steps;
  }

  void announce() {
    if (!resumed_from_.empty())
      progress_->message(str("resuming ", resumed_from_, " at step ", state_.step));
    else if (!config_.train.from.empty())
      progress_->message(str("first weights: ", config_.train.from, ", trained on ", config_.data.seen));
    progress_->message(str(config_.model.name, ": ", network_->parameters().count(), " dense parameters, ",
                           network_->tables().tables().size(), " tables, ", ranks(), ", batch of ",
                           config_.train.batch_requests, " requests in ", config_.train.micro_batches,
                           " micro-batches; writing ", options_.run_directory));
    progress_->message(table_sizes(config_, dataset_, network_->tables()));
    if (const auto line = buckets_line(config_); !line.empty()) progress_->message(line);
    for (const auto& line : notes_on_weights(config_)) progress_->message(line);
    if (const auto note = note_on_later_days(config_, dataset_)) progress_->message(*note);
    if (const auto note = note_on_serving(config_, dataset_.schema())) progress_->message(*note);
  }

  // How many there are, and what joins them.
  std::string ranks() const {
    if (group_.size() == 1) return "1 rank";
    const std::string name = of_tables_->name();
    const int64_t parts = config_.train.context_parallel;
    return str(group_.size(),
               name == "nccl"     ? " ranks over NCCL"
               : name == "staged" ? " ranks that share a device (over host memory and MPI)"
                                  : " ranks over MPI",
               parts > 1 ? str(", each history on ", parts) : "");
  }

  std::unique_ptr<GlobalBatch> fetch(BatchSource& source, TrainStep& train_step, const StopSignal& signal) {
    TraceRange range(ctx_, "data wait");
    auto batch = source.next(signal.received() != 0, train_step.take_work_ms());
    if (batch && root()) work_->add(batch->ranks);
    return batch ? std::make_unique<GlobalBatch>(std::move(*batch)) : nullptr;
  }

  // What is known of a step when it begins.
  struct Begun {
    StepReport report;
    std::vector<double> task_weight_sum, task_label_sum;
    int64_t truncated;
  };

  void step(TrainStep& train_step, const GlobalBatch& batch, const GlobalBatch* next, int64_t total_steps) {
    const int64_t number = state_.step + 1;
    const int64_t schedule_steps =
        config_.train.schedule_steps > 0 ? config_.train.schedule_steps : total_steps;
    const double rate = learning_rate_at(config_.train, number, schedule_steps);
    const double sparse_scale = config_.train.schedule_sparse && config_.train.learning_rate > 0
                                    ? rate / config_.train.learning_rate
                                    : 1.0;
    train_step.run(batch, next, number, rate, sparse_scale);
    state_.step = number;
    state_.epoch = batch.epoch;
    state_.positions = batch.local.next;

    StepReport report;
    report.step = number;
    report.epoch = batch.epoch;
    report.learning_rate = rate;
    report.requests = batch.requests;
    report.history_tokens = batch.history_tokens;
    report.candidates = batch.candidates;
    report.data_wait_ms = batch.data_wait_ms;
    begun_.push_back({report, batch.task_weight_sum, batch.task_label_sum, batch.truncated});
    // A device works on one step while the host prepares the next.
    hear(train_step, ctx_.device().type == DeviceType::cuda ? 1 : 0);
  }

  // Collective. Reports the steps that were begun, but for the last `under_way`.
  void hear(TrainStep& train_step, size_t under_way) {
    for (const StepOutcome& outcome : train_step.outcomes(under_way)) {
      Begun step = std::move(begun_.front());
      begun_.pop_front();
      if (!outcome.finite) stop_not_finite(outcome);
      truncated_ += step.truncated;
      entropy_.add(outcome, step.task_weight_sum, step.task_label_sum);
      const auto now = Clock::now();
      step.report.loss = outcome.loss;
      step.report.ne = entropy_.value();
      step.report.gradient_norm = outcome.gradient_norm;
      step.report.step_ms = milliseconds(told_, now);
      told_ = now;
      report(step.report);
    }
  }

  void report(const StepReport& report) {
    progress_->update(report);
    if (root())
      if (const auto warning = work_->end_step(report.step_ms)) progress_->message(*warning);
    if (window_)
      append_steps(*window_, report);
    else
      window_ = report;
    if (report.step % config_.train.log_every == 0) flush_window();
  }

  void flush_window() {
    if (!window_) return;
    for (const auto& [name, ms] : tracer_.take_totals_ms()) window_->parts_ms.emplace_back(name, ms);
    window_->work = work_->take_spread();
    if (log_) log_->train(*window_);
    window_.reset();
  }

  [[noreturn]] void stop_not_finite(const StepOutcome& outcome) {
    flush_window();
    const auto checkpoints = list_checkpoints(options_.run_directory);
    throw UserError(str("step ", outcome.step, ": the loss is not finite (loss ", outcome.loss,
                        ", gradient norm ", outcome.gradient_norm, "); ",
                        checkpoints.empty() ? "no checkpoint was written yet"
                                            : "last good checkpoint: " + checkpoints.front(),
                        "; try a lower train.learning_rate or train.clip_norm=1"));
  }

  static bool due(int64_t every, int64_t step) { return every > 0 && step % every == 0; }

  void checkpoint(bool finished) {
    TraceRange range(ctx_, "checkpoint");
    flush_window();
    state_.finished = finished;
    entropy_.save(state_.extra);
    const std::string path =
        save_checkpoint(group_.world(), options_.run_directory, config_, *network_, *adamw_, state_,
                        config_.train.keep_checkpoints, held_out_->best().kept_step());
    saved_step_ = state_.step;
    progress_->message("checkpoint " + path);
  }

  void finish(End end) {
    const bool patience = end == End::patience;
    // The data ended: the next epoch, if one is asked for later, starts at its beginning.
    if (!patience && !beyond_last_step()) {
      state_.epoch = config_.train.epochs;
      state_.positions.clear();
    }
    if (state_.step > first_step_ || (patience && !state_.finished)) {
      checkpoint(true);
      std::error_code none;
      if (root()) std::filesystem::remove(eval_path(options_.run_directory), none);  // of fewer steps
    } else {
      progress_->message(str("nothing to do: the run is complete at step ", state_.step,
                             patience ? str(", after ", held_out_->best().in_vain(), "; raise train.patience")
                                      : "; raise train.epochs or train.max_steps",
                             " to go on"));
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    progress_->message(str("done: ", state_.step, " steps", patience ? ", ended by train.patience (" : "",
                           patience ? held_out_->best().in_vain() + ")" : "", ", ", truncated_,
                           " histories truncated to ", config_.data.max_history,
                           " events, peak memory of rank 0 ", usage.ru_maxrss / 1024, " MiB"));
    if (const auto line = who_waits(group_.world(), network_->tables())) progress_->message(*line);
    if (config_.data.eval.empty()) return;
    try {
      const int64_t step = held_out_->step_of_result(*network_, state_.step);
      if (step != state_.step) take_weights(step);
      held_out_->write_result(*network_, step, options_.rows_path);
    } catch (const Interrupted&) {
      progress_->message(str("stopped in the evaluation at the end; the run is complete at step ",
                             state_.step, ", evaluate it with: lime train --resume ", options_.run_directory,
                             ", or lime eval ", options_.run_directory));
    }
  }

  // Collective. Those of another checkpoint of this run, in place of what was trained: to evaluate them.
  void take_weights(int64_t step) {
    adamw_.reset();
    network_.reset();  // so that tables are never there twice
    network_ = std::make_unique<Network>(ctx_, group_.world(), without_optimizer_state(config_),
                                         dataset_.schema(), of_tables_.get());
    Communicator& world = group_.world();
    load_checkpoint(world, choose_checkpoint(world, {options_.run_directory, checkpoint_name(step), "", {}}),
                    config_, *network_, nullptr);
  }

  void write_trace() {
    if (root() && !options_.trace_path.empty()) tracer_.write_chrome_json(options_.trace_path);
  }

  ProcessGroup& group_;
  const Config config_;
  const TrainOptions options_;
  Dataset dataset_;  // of a run that goes on: as it was, where it has gained days since
  std::shared_ptr<const ItemTable> items_;
  RunContext ctx_;
  RunningEntropy entropy_;
  Tracer tracer_;
  std::unique_ptr<RunDirectory> directory_;
  std::unique_ptr<Communicator> of_tables_;  // over the device's memory
  std::unique_ptr<Network> network_;
  std::unique_ptr<AdamW> adamw_;
  TrainState state_;
  std::string resumed_from_;
  int64_t first_step_ = 0;           // steps done before this job
  int64_t saved_step_ = 0;           // of the newest checkpoint
  std::unique_ptr<MetricsLog> log_;  // rank 0
  std::unique_ptr<HeldOut> held_out_;
  Progress* progress_ = nullptr;
  std::unique_ptr<RankWork> work_;  // of use on rank 0
  std::deque<Begun> begun_;         // steps whose outcome is not known yet
  Clock::time_point told_;          // when that of the last step was
  std::optional<StepReport> window_;
  int64_t truncated_ = 0;
};

}  // namespace

int train(ProcessGroup& group, const Config& config, const TrainOptions& options) {
  return Trainer(group, config, options).run();
}

}  // namespace lime
