#include "launch/run_summary.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/dataset.h"
#include "launch/metrics.h"
#include "launch/text_table.h"
#include "model/best_record.h"
#include "model/checkpoint.h"
#include "model/checkpoint_manifest.h"
#include "model/run_choice.h"
#include "parallel/communicator.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

namespace fs = std::filesystem;

// A table of names, shapes and, where there are any, ids that wait for a row; with the type where it is not
// f32. Nothing of an empty list.
std::string shape_table(const char* what, const std::vector<CheckpointShapes::Shape>& shapes) {
  if (shapes.empty()) return "";
  std::vector<std::vector<std::string>> rows = {{what, "rows", "columns"}};
  const bool waits = std::any_of(shapes.begin(), shapes.end(), [](const auto& s) { return s.waiting > 0; });
  if (waits) rows.front().emplace_back("waiting ids");
  for (const auto& shape : shapes) {
    rows.push_back({shape.name, grouped(shape.rows), grouped(shape.columns)});
    if (waits) rows.back().push_back(grouped(shape.waiting));
    if (shape.type == DType::bf16) rows.back().emplace_back("bf16");
  }
  return aligned_table(rows);
}

// Held-out days as the end of training left them; nothing where there were none.
std::string evaluation(const std::string& path) {
  std::ifstream file(path);
  const auto results = nlohmann::json::parse(file, nullptr, false);
  if (results.is_discarded()) return "";
  std::vector<MetricName> columns;  // that any result has; a run of before has fewer
  const auto number = [](const nlohmann::json& task, const MetricName& name) {
    const auto& all = task.at("all");
    return all.contains(name.key) ? all.at(name.key) : nlohmann::json();
  };
  for (const auto& name : metric_names)
    if (std::ranges::any_of(results, [&](const auto& result) {
          return std::ranges::any_of(result.at("tasks"),
                                     [&](const auto& task) { return !number(task, name).is_null(); });
        }))
      columns.push_back(name);
  std::vector<std::vector<std::string>> rows = {{"held out", "history"}};
  for (const auto& name : columns) rows[0].emplace_back(name.title);
  for (const auto& result : results)
    for (const auto& task : result.at("tasks")) {
      rows.push_back({task.at("task").get<std::string>(), result.at("history").get<std::string>()});
      for (const auto& name : columns) {
        const auto value = number(task, name);
        rows.back().push_back(value.is_null() ? "-" : grouped(value.get<double>(), 4));
      }
    }
  const auto checkpoint = results.empty() ? "" : results.front().value("checkpoint", "");
  return str(checkpoint.empty() ? "" : str("held-out days with ", checkpoint, ":\n"), aligned_table(rows));
}

std::string best_line(const std::string& run) {
  const auto best = read_best(run);
  if (!best) return "";
  return str("best checkpoint: ", best->checkpoint, ", ", best->metric, " ", grouped(best->value, 6),
             " (history ", best->history, ", days ", merged_days(joined(best->days, ","), best_path(run)),
             ")\n");
}

}  // namespace

std::string summarize_run(const std::string& run) {
  const Config config = load_run_config({run, "", "", {}});
  std::string text = str("run ", run, ": ", config.model.name, " on ", config.data.path, ", trained on ",
                         config.data.train, "\n");
  if (!config.train.from.empty())
    text += str("first weights: ", config.train.from, ", trained on ", config.data.seen, "\n");
  text += evaluation(run + "/eval.json");
  text += best_line(run);
  const auto checkpoints = list_checkpoints(run);
  if (checkpoints.empty()) return text + "no checkpoint yet\n";
  return str(text, "checkpoints, newest first: ", joined(checkpoints, " "), "\n",
             summarize_checkpoint(checkpoint_directory(run, checkpoints.front())));
}

std::string summarize_checkpoint(const std::string& directory) {
  const auto alone = make_self_communicator();
  const VerifiedCheckpoint checkpoint(*alone, directory);
  const CheckpointManifest& manifest = checkpoint.manifest();
  const CheckpointShapes shapes = checkpoint_shapes(directory);
  const TrainState& state = manifest.state;
  return str("step ", state.step, ", epoch ", state.epoch, state.finished ? ", finished" : "", ", seed ",
             manifest.seed, ": ", grouped(shapes.parameter_count()), " dense parameters, ",
             grouped(shapes.table_rows()), " rows in ", shapes.tables.size(), " tables",
             shapes.waiting_ids() > 0 ? str(", ", grouped(shapes.waiting_ids()), " ids wait for one") : "",
             "\n", shape_table("table", shapes.tables), shape_table("parameter", shapes.parameters));
}

}  // namespace lime
