#include "launch/held_out.h"

#include <span>
#include <utility>

#include "launch/eval_report.h"
#include "model/checkpoint_files.h"
#include "model/together.h"
#include "runtime/durable_file.h"
#include "runtime/text.h"
#include "runtime/trace.h"

namespace lime {
namespace {

std::vector<std::string> days_of(const HeldOutRun& run) {
  if (run.config.data.eval.empty()) return {};
  return run.dataset.select_days(run.config.data.eval, "data.eval");
}

}  // namespace

std::string eval_path(const std::string& run_directory) { return join(run_directory, "eval.json"); }

HeldOut::HeldOut(HeldOutRun run)
    : run_(std::move(run)),
      days_(days_of(run_)),
      best_(run_.group.world(), run_.config, run_.directory, days_) {}

bool HeldOut::due(int64_t step) const {
  const int64_t every = run_.config.train.eval_every;
  return every > 0 && step > 0 && step % every == 0;
}

bool HeldOut::was_given_up(int64_t step) const {
  if (!due(step)) return false;
  const int64_t missing = run_.group.rank() == 0 && !has_evaluation(metrics_path(run_.directory), step);
  return all_gather_values(run_.group.world(), std::span<const int64_t>(&missing, 1)).front() != 0;
}

std::vector<EvalResult> HeldOut::evaluate(Network& network, const std::string& rows_path) const {
  return evaluate_modes(
      {run_.group.world(), run_.ctx, network, run_.config, run_.dataset, run_.items, &run_.signal}, days_,
      rows_path);
}

void HeldOut::add(int64_t step, const std::vector<EvalResult>& results, const std::function<void()>& save) {
  Communicator& world = run_.group.world();
  together(world, [&] {
    if (run_.log) run_.log->eval(step, results);
  });
  run_.progress.message(str("held-out days at step ", step, ":\n", to_lines(results)));
  if (!best_.is_kept()) return;
  const bool better = best_.add(world, step, results);
  if (better) {
    save();
    best_.keep(world);
  }
  run_.progress.message(better ? best_.describe() : best_.in_vain());
}

bool HeldOut::evaluate_on_the_way(Network& network, int64_t step, const std::function<void()>& save) {
  TraceRange range(run_.ctx, "evaluation");
  try {
    add(step, evaluate(network, ""), save);
    return true;
  } catch (const Interrupted&) {
    return false;
  }
}

int64_t HeldOut::step_of_result(Network& network, int64_t last_step) {
  if (!best_.is_kept() || last_step == 0) return last_step;
  if (best_.evaluated_step() != last_step) {
    of_last_step_ = evaluate(network, "");
    add(last_step, *of_last_step_, [] {});
  }
  return best_.step().value_or(last_step);
}

void HeldOut::write_result(Network& network, int64_t step, const std::string& rows_path) {
  const bool known = of_last_step_ && best_.evaluated_step() == step && rows_path.empty();
  const std::vector<EvalResult> results = known ? *std::move(of_last_step_) : evaluate(network, rows_path);
  if (run_.group.rank() != 0) return;
  // A complete run that is resumed is evaluated again.
  if (!best_.is_kept() && !has_evaluation(metrics_path(run_.directory), step, results))
    run_.log->eval(step, results);
  write_file_atomically(eval_path(run_.directory), to_json(results, checkpoint_name(step)));
  if (best_.step())
    run_.progress.message(str("held-out days with the best checkpoint, ", checkpoint_name(step), ":"));
  run_.progress.message(to_table(results));
}

}  // namespace lime
