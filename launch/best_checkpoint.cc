#include "launch/best_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <utility>

#include "launch/metrics_log.h"
#include "model/best_record.h"
#include "model/checkpoint.h"
#include "model/checkpoint_files.h"
#include "model/together.h"
#include "runtime/text.h"

namespace lime {
namespace {

struct Evaluation {
  int64_t step;
  double value;
  int64_t kept;  // there is a checkpoint of it
};

// Ascending by step, each once: one that was made again counts as it was last.
std::vector<Evaluation> evaluations_so_far(const std::string& run, const BestMetric& metric,
                                           const std::vector<std::string>& days) {
  std::map<int64_t, double> values;
  for (const auto& e : logged_evaluations(metrics_path(run), metric.history, metric.task, metric.metric))
    if (e.days == days) values[e.step] = e.value;
  const std::vector<std::string> names = list_checkpoints(run);
  std::vector<Evaluation> all;
  for (const auto& [step, value] : values)
    all.push_back({step, value, std::ranges::find(names, checkpoint_name(step)) != names.end()});
  return all;
}

// Rank 0's, on all ranks.
std::vector<Evaluation> everywhere(Communicator& comm, const std::vector<Evaluation>& of_root) {
  std::vector<char> bytes(of_root.size() * sizeof(Evaluation));
  if (!bytes.empty()) std::memcpy(bytes.data(), of_root.data(), bytes.size());
  broadcast_bytes(comm, bytes, 0);
  std::vector<Evaluation> all(bytes.size() / sizeof(Evaluation));
  if (!bytes.empty()) std::memcpy(all.data(), bytes.data(), bytes.size());
  return all;
}

}  // namespace

BestCheckpoint::BestCheckpoint(Communicator& comm, const Config& config, std::string run_directory,
                               std::vector<std::string> days)
    : config_(config),
      run_directory_(std::move(run_directory)),
      days_(std::move(days)),
      metric_(best_metric(config)),
      best_(!metric_ || metric_->higher) {
  std::vector<Evaluation> evaluations;
  together(comm, [&] {
    if (comm.rank() == 0 && metric_) evaluations = evaluations_so_far(run_directory_, *metric_, days_);
  });
  for (const Evaluation& e : everywhere(comm, evaluations)) {
    best_.add(e.step, e.value, e.kept != 0);
    evaluated_step_ = e.step;
  }
  kept_step_ = best_.step();
  together(comm, [&] {
    if (comm.rank() != 0) return;
    if (kept_step_)
      record();
    else
      remove_best(run_directory_);
  });
}

bool BestCheckpoint::patience_is_over() const {
  return config_.train.patience > 0 && best_.in_vain() >= config_.train.patience;
}

bool BestCheckpoint::add(Communicator& comm, int64_t step, const std::vector<EvalResult>& results) {
  if (!metric_) return false;
  const double mine = value_of(*metric_, results);
  evaluated_step_ = step;
  return best_.add(step, all_gather_values(comm, std::span<const double>(&mine, 1)).front());
}

void BestCheckpoint::keep(Communicator& comm) {
  kept_step_ = best_.step();
  together(comm, [&] {
    if (comm.rank() != 0) return;
    record();
    keep_newest(run_directory_, evaluated_step_, config_.train.keep_checkpoints, kept_step_);
  });
}

void BestCheckpoint::record() const {
  write_best(run_directory_,
             {checkpoint_name(*kept_step_), metric_->name, metric_->history, days_, best_.value()});
}

std::string BestCheckpoint::describe() const {
  if (!best_.step()) return str("no ", metric_->name, " so far");
  return str("best ", metric_->name, ": ", grouped(best_.value(), 6), " of step ", *best_.step());
}

std::string BestCheckpoint::in_vain() const {
  const int64_t n = best_.in_vain();
  return str(n, n == 1 ? " evaluation" : " evaluations", " without a better ", metric_->name,
             best_.step() ? str(" than that of step ", *best_.step()) : "",
             best_.is_defined() ? "" : ", which is not defined on these days");
}

}  // namespace lime
