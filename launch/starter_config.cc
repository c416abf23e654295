#include "launch/starter_config.h"

#include <algorithm>
#include <bit>

#include "io/inspect.h"
#include "io/item_features.h"
#include "io/reader.h"
#include "model/config.h"
#include "model/config_keys.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr size_t line_width = 100;
constexpr int64_t most_candidates = int64_t{1} << 20;  // that features are looked at by

constexpr double few_positives = 0.05;  // of all candidates

// "  history: [item, age]", broken below its first name.
std::string list_line(const std::string& key, const std::vector<std::string>& names) {
  const std::string start = str("  ", key, ": [");
  std::string text, line = start;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string name = yaml_scalar(names[i]) + (i + 1 < names.size() ? "," : "]");
    if (line.size() + name.size() + 1 > line_width) {
      text += line + "\n";
      line = std::string(start.size(), ' ') + name;
    } else {
      line += (i > 0 ? " " : "") + name;
    }
  }
  return text + (names.empty() ? start + "]" : line) + "\n";
}

// The least power of two that holds this, within bounds that are powers of two.
int64_t power_of_two(int64_t least, int64_t from, int64_t to) {
  return std::clamp(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(least, 1)))),
                    from, to);
}

int64_t largest_power_of_two(int64_t most) {
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(most)));
}

std::string range_of(const std::vector<DayInfo>& days, size_t begin, size_t end) {
  if (begin + 1 == end) return days[begin].day;
  return str(days[begin].day, "..", days[end - 1].day);
}

// How many of the last days nothing is learned from.
size_t held_out_days(const std::vector<DayInfo>& days, int64_t chosen) {
  const auto all = static_cast<int64_t>(days.size());
  if (chosen >= all && chosen > 0)
    throw UserError(
        str("--hold-out: found ", chosen, ", expected less than the ", all, " days of the dataset"));
  if (chosen > 0) return static_cast<size_t>(chosen);
  int64_t requests = 0, held_out = 0;
  for (const auto& day : days) requests += day.requests;
  size_t count = 0;
  while (count + 1 < days.size() && 20 * held_out < requests)
    held_out += days[days.size() - ++count].requests;
  return count;
}

const std::string& chosen_task(const DatasetSchema& schema, const std::string& task) {
  if (schema.labels.empty()) throw UserError(str(schema.name, ": found no label, expected one to learn"));
  if (task.empty()) return schema.labels.front();
  check_label(schema, task, "--task");
  return task;
}

// Each feature once, by the label that it gives away most.
std::vector<Giveaway> worst_of_each(std::vector<Giveaway> giveaways) {
  std::stable_sort(giveaways.begin(), giveaways.end(),
                   [](const Giveaway& a, const Giveaway& b) { return a.auc > b.auc; });
  std::vector<Giveaway> worst;
  for (const auto& found : giveaways)
    if (std::ranges::none_of(worst, [&](const Giveaway& other) {
          return other.side == found.side && other.feature == found.feature;
        }))
      worst.push_back(found);
  return worst;
}

std::string features_section(const DatasetSchema& schema, const std::vector<Giveaway>& left_out) {
  FeatureNames names = available_features(schema);
  std::string text =
      "\n# All columns that there are. Leave out what is not known when a request is to be answered: it "
      "would be learned "
      "from,\n# and no server could give it. What each column holds: lime inspect DATA "
      "--features\nfeatures:\n";
  // Somebody's age and the age of an event would share a table.
  for (auto* others : {&names.candidate, &names.user})
    if (std::erase(*others, "age") > 0)
      text +=
          "  # without the column 'age': it needs another name, that of history is the time since an event\n";
  if (!left_out.empty())
    text +=
        "  # Without these, each of which alone tells a label nearly without error, as what is only known "
        "afterwards does.\n  # One that is known when a request is to be answered: put it back into its "
        "list.\n";
  for (const auto& found : left_out) {
    std::erase(found.side == FeatureSide::user ? names.user : names.candidate, found.feature);
    text += str("  #   ", to_string(found.side), ": ", found.feature, "   AUC alone ", grouped(found.auc, 3),
                " of ", found.label, "\n");
  }
  text += list_line("history", names.history);
  if (const auto found = features_of_impressions(schema, names.candidate); !found.empty())
    text += "  # Of impressions, not of items: " + joined(found) +
            ". lime cache build and lime score\n  # need a model without.\n";
  return text + list_line("candidate", names.candidate) + list_line("user", names.user);
}

// Where most of the time would go into candidates that say little.
std::string negatives_line(const std::vector<LabelCount>& labels, const std::string& task) {
  for (const auto& label : labels) {
    const auto positives = static_cast<double>(label.positives),
               all = positives + static_cast<double>(label.negatives);
    if (label.name == task && label.enough() && positives < few_positives * all)
      return str(
          "  # keep_negatives: 0.2   # ", grouped(100 * positives / all, 1),
          " of 100 candidates are positive: trains on these and a fifth of the others, in much less time\n");
  }
  return "";
}

std::string tasks_section(const DatasetSchema& schema, const std::string& task) {
  auto others = schema.labels;
  std::erase(others, task);
  std::string text = str("\ntasks: [", yaml_scalar(task), "]");
  if (!others.empty())
    text +=
        str("   # there are also ", joined(others), "; several at once: [", task, ", ", others.front(), "]");
  return text + "\n";
}

}  // namespace

StarterConfig starter_config(const Dataset& dataset, const StarterOptions& options,
                             const std::function<void(int64_t, int64_t)>& progress) {
  const auto& schema = dataset.schema();
  const auto& days = dataset.days();
  const std::string& task = chosen_task(schema, options.task);
  const size_t held_out = held_out_days(days, options.hold_out), trained = days.size() - held_out;
  int64_t requests = 0;
  std::vector<std::string> trained_days;
  for (size_t d = 0; d < trained; ++d) {
    requests += days[d].requests;
    trained_days.push_back(days[d].day);
  }
  const auto lengths = history_lengths(dataset);
  const int64_t most = lengths.empty() ? 0 : lengths[(lengths.size() - 1) * 99 / 100];
  const int64_t history = power_of_two(most, 256, 1024);         // a young log grows; nothing is padded
  const int64_t batch = power_of_two(requests / 1000, 32, 512);  // 500 steps or more
  const auto micro_batches = std::min(int64_t{4}, largest_power_of_two(dataset.parts()));

  const Giveaways giveaways = find_giveaways(dataset, trained_days, most_candidates, progress);
  const auto left_out = worst_of_each(giveaways.found);

  std::string text =
      str("# ", schema.name, ": ", grouped(requests), " requests on ", trained,
          trained == 1 ? " day" : " days", " to train on, ", grouped(dataset.users()), " users.", R"(
# Written by lime configure, as a start. Every key: lime help config. What has helped on real logs: docs/quality.md
data:
  path: )",
          yaml_scalar(options.data_path), "\n  train: ", range_of(days, 0, trained), "\n");
  text += held_out > 0 ? str("  eval: ", range_of(days, trained, days.size()), "\n")
                       : "  # eval: a day of its own, that nothing is learned from; there is but one\n";
  text += str(
      "  max_history: ", history, "   # latest events that are read; so far, 99 of 100 users have at most ",
      grouped(most), "\n", negatives_line(giveaways.labels, task), features_section(schema, left_out), R"(
embeddings:
  dim: 32
  optimizer: adagrad
  learning_rate: 0.05
  eps: 1e-10
  init_std: 0.05

model:
  name: lime_xor
  width: 64
  heads: 2
  links: 16
  blocks: 2
  head_hidden: 64
  max_positions: )",
      history, "\n", tasks_section(schema, task), R"(
train:
  epochs: 1               # more: with train.best and train.patience, as a second one often learns ids by heart
  batch_requests: )",
      batch, "\n  micro_batches: ", micro_batches, "        # at least the number of ranks, at most the ",
      dataset.parts(), R"( parts of the dataset
  learning_rate: 1e-3
  schedule: linear        # to 0

eval:
  history: both           # AUC and NE: running; GAUC: frozen (docs/metrics.md)
)");
  if (!schema.weights.empty())
    text += str("  # watch_time: ", schema.weights.front(), "   # for WT-AUC, where this is one\n");
  const Config config = parse_config(text, "lime configure", {});
  resolve_features(schema, config.features);  // an error here is ours
  return {text, left_out};
}

}  // namespace lime
