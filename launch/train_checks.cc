#include "launch/train_checks.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "io/item_features.h"
#include "launch/best_metric.h"
#include "launch/evaluator.h"
#include "model/run_choice.h"
#include "runtime/text.h"

namespace lime {

void check_training(const Config& config, const Dataset& dataset, int64_t ranks) {
  const TrainConfig& train = config.train;
  const int64_t parts = train.context_parallel;
  if (ranks % parts != 0)
    throw UserError(
        str("train.context_parallel: found ", parts, ", expected a divisor of the number of ranks, ", ranks));
  if (ranks > train.leaves())
    throw UserError(str("train.micro_batches: found ", train.micro_batches, ", expected at least ",
                        parts == 1 ? str("the number of ranks, ", ranks)
                                   : str(ranks / parts, ", the number of ranks by train.context_parallel")));
  if (train.batch_requests < train.micro_batches)
    throw UserError(str("train.batch_requests: found ", train.batch_requests,
                        ", expected at least train.micro_batches = ", train.micro_batches));
  dataset.select_days(config.data.train, "data.train");
  if (train.eval_every > 0 && config.data.eval.empty())
    throw UserError(
        str("train.eval_every: found ", train.eval_every, ", but data.eval names no days to evaluate"));
  const auto best = best_metric(config);
  if (best && train.eval_every == 0)
    throw UserError(str("train.best: found '", train.best,
                        "', but train.eval_every is 0: expected the steps between ",
                        "evaluations of data.eval"));
  if (train.patience > 0 && train.best.empty())
    throw UserError(str("train.patience: found ", train.patience,
                        ", but train.best is empty: expected the metric that has to get better"));
  if (config.data.eval.empty()) return;
  const auto held_out = dataset.select_days(config.data.eval, "data.eval");
  refuse_trained_days(config, dataset, held_out, "data.eval");
  if (best && best->of_requests && std::ranges::all_of(held_out, [&](const std::string& name) {
        const DayInfo& day = dataset.day(name);
        return day.candidates == day.requests;
      }))
    throw UserError(str(
        "train.best: found '", train.best, "', but the requests of data.eval (", config.data.eval,
        ") have one candidate each, and no order: expected another metric, such as ", best->task, ".auc"));
}

void refuse_changes(const Config& config, const Dataset& dataset, const std::string& run_directory) {
  const Config before = load_config(config_path(run_directory), {});
  const auto days = dataset.days_among(config.data.train, "data.train");
  for (const auto& day : dataset.days_among(before.data.train, "data.train"))
    if (std::find(days.begin(), days.end(), day) == days.end())
      throw UserError(
          str("data.train: found '", config.data.train, "', expected all of '", before.data.train,
              "', on which the run was trained; to go on with other days: lime train CONFIG --from ",
              run_directory, " --set data.train=DAYS"));
  if (config.train.from != before.train.from)
    throw UserError(str("train.from: found '", config.train.from, "', expected '", before.train.from,
                        "', with whose weights the run began"));
}

std::optional<std::string> note_on_later_days(const Config& config, const Dataset& dataset) {
  const auto held_out = dataset.days_among(config.data.eval, "data.eval");
  if (held_out.empty()) return std::nullopt;
  const std::string& first = held_out.front();
  for (const auto& [key, text] :
       {std::pair("data.train", config.data.train), std::pair("data.seen", config.data.seen)}) {
    std::vector<std::string> later;
    std::ranges::copy_if(dataset.days_among(text, key), std::back_inserter(later),
                         [&](const std::string& day) { return day > first; });
    if (!later.empty())
      return str("note: ", key, " has days later than held-out ", first, ": ",
                 merged_days(joined(later, ","), key),
                 "; metrics of days whose future was learned say little of days to come");
  }
  return std::nullopt;
}

std::vector<std::string> notes_on_weights(const Config& config) {
  std::vector<std::string> notes;
  if (const double share = config.data.keep_negatives; share != 1)
    notes.push_back(str("negatives: ", 100 * share, " % of them, drawn anew each epoch, each weighs ",
                        1 / share, " times as much; batches are smaller by what is left out"));
  for (const auto& task : config.tasks)
    if (!task.sample_weight.empty())
      notes.push_back(str("weights: ", task.label, " is learned with those of ", task.sample_weight,
                          "; metrics of held-out days count rows once, those that weigh 0 never"));
  return notes;
}

std::optional<std::string> note_on_serving(const Config& config, const DatasetSchema& schema) {
  const auto found = features_of_impressions(schema, config.features.candidate);
  if (found.empty()) return std::nullopt;
  return str("note: features.candidate has columns of impressions, which items alone do not have: ",
             joined(found), "; for lime cache build and lime score train without them");
}

int64_t planned_steps(const TrainConfig& train, const BatchSource& source) {
  const int64_t of_data = train.epochs * source.batches_in_epoch();
  return train.max_steps > 0 ? std::min(train.max_steps, of_data) : of_data;
}

}  // namespace lime
