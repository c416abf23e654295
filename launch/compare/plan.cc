#include "launch/compare/plan.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "io/dataset.h"
#include "launch/evaluator.h"
#include "model/config_keys.h"
#include "model/config_yaml.h"
#include "model/run_choice.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

namespace fs = std::filesystem;

ComparisonPlan::Entry parse_entry(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
  if (name.empty() || !plain || name.starts_with("."))
    throw UserError(
        str("--models: found '", text, "', expected MODEL or NAME=MODEL, a name of letters, digits, _ - ."));
  const std::string model = equals == std::string::npos ? name : text.substr(equals + 1);
  const auto& keys = config_keys();
  const auto key =
      std::find_if(keys.begin(), keys.end(), [](const auto& k) { return k.path == "model.name"; });
  Config ignored;
  if (!key->set(ignored, "", {false, {model}}))
    throw UserError(str("--models: found '", model, "', expected ", key->expected));
  return {name, model, {}};
}

std::vector<std::string> names_of(const std::vector<ComparisonPlan::Entry>& entries) {
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(entry.name);
  return names;
}

size_t index_of(const std::vector<ComparisonPlan::Entry>& entries, const std::string& name,
                const char* option) {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.name == name; });
  if (found == entries.end())
    throw UserError(
        str(option, ": found '", name, "', expected one of --models: ", joined(names_of(entries))));
  return static_cast<size_t>(found - entries.begin());
}

void check_names(const ComparisonPlan& plan) {
  if (plan.entries.empty()) throw UserError("--models: found an empty list, expected at least one model");
  std::set<std::string> names;
  for (const auto& entry : plan.entries)
    if (!names.insert(entry.name).second)
      throw UserError(
          str("--models: found ", entry.name, " twice, expected names that differ (NAME=MODEL gives one)"));
  if (plan.seeds.empty()) throw UserError("--seeds: found an empty list, expected at least one seed");
  std::set<uint64_t> seeds;
  for (const uint64_t seed : plan.seeds)
    if (!seeds.insert(seed).second)
      throw UserError(str("--seeds: found ", seed, " twice, expected each seed once"));
}

// Every key of a configuration, as text.
std::vector<std::pair<std::string, std::string>> keys_of(const Config& config) {
  std::vector<std::pair<std::string, std::string>> keys;
  for (const auto& entry : flatten_yaml(to_yaml(config), "config"))
    keys.emplace_back(join_path(entry.path), entry.value.shown());
  return keys;
}

// "train.epochs = 2, expected 1" for the first key in which they differ, or "".
std::string first_difference(const Config& found, const Config& expected) {
  const auto ours = keys_of(found), theirs = keys_of(expected);
  for (size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i) {
    if (i < ours.size() && i < theirs.size() && ours[i] == theirs[i]) continue;
    if (i >= ours.size()) return str("no ", theirs[i].first, ", expected ", theirs[i].second);
    if (i >= theirs.size()) return str(ours[i].first, " = ", ours[i].second, ", expected none");
    return ours[i].first == theirs[i].first
               ? str(ours[i].first, " = ", ours[i].second, ", expected ", theirs[i].second)
               : str(ours[i].first, " = ", ours[i].second, ", expected ", theirs[i].first, " = ",
                     theirs[i].second);
  }
  return "";
}

// What all runs must share: they are measured on the same rows.
void check_measured_alike(const ComparisonPlan& plan) {
  const Config& first = plan.common();
  const auto labels = [](const Config& config) {
    std::vector<std::string> names;
    for (const auto& task : config.tasks) names.push_back(task.label);
    return joined(names);
  };
  for (const auto& run : plan.runs) {
    const auto same = [&](const char* key, const std::string& found, const std::string& expected) {
      if (found != expected)
        throw UserError(str("--set-for ", plan.entries[run.entry].name, ": found ", key, " = ", found,
                            ", expected ", expected, " as for ", plan.entries[plan.runs.front().entry].name,
                            ": a comparison is on the same days and rows"));
    };
    same("data.path", run.config.data.path, first.data.path);
    same("data.train", run.config.data.train, first.data.train);
    same("data.eval", run.config.data.eval, first.data.eval);
    same("tasks", labels(run.config), labels(first));
    same("eval.history", run.config.eval.history, first.eval.history);
    same("eval.watch_time", run.config.eval.watch_time, first.eval.watch_time);
  }
}

void check_days(const Config& config) {
  if (config.data.eval.empty())
    throw UserError("data.eval: found nothing, expected the held-out days that models are compared on");
  const Dataset dataset = Dataset::open(config.data.path);
  dataset.select_days(config.data.train, "data.train");
  refuse_trained_days(config, dataset, dataset.select_days(config.data.eval, "data.eval"), "data.eval");
}

// An output directory is new, empty, or that of a comparison with the same runs (and perhaps further ones).
void check_directory(const ComparisonPlan& plan) {
  if (plan.out.empty()) throw UserError("--out: the comparison's directory has no name");
  if (!fs::exists(plan.out)) return;
  if (!fs::is_directory(plan.out)) throw UserError(str("--out: ", plan.out, " is a file"));
  if (!fs::is_empty(plan.out) && !fs::is_directory(plan.out + "/runs"))
    throw UserError(
        str("--out: ", plan.out, " is not empty and holds no comparison; choose another directory"));
  for (const auto& run : plan.runs) {
    if (!fs::exists(config_path(run.directory))) continue;
    const Config found = load_config(config_path(run.directory), {});
    Config expected = run.config;
    take_resolved(found, expected);
    const std::string difference = first_difference(found, expected);
    if (!difference.empty())
      throw UserError(str("--out: ", run.directory, " is a run of another comparison: it has ", difference,
                          "; choose another --out"));
  }
}

}  // namespace

ComparisonPlan plan_comparison(const ComparisonRequest& request) {
  ComparisonPlan plan;
  plan.config_path = request.config;
  plan.out = request.out;
  plan.seeds = request.seeds;
  for (const auto& text : request.entries) plan.entries.push_back(parse_entry(text));
  check_names(plan);
  plan.settings = request.settings;
  for (const auto& [name, settings] : request.settings_for)
    plan.entries[index_of(plan.entries, name, "--set-for")].settings = settings;
  if (!request.baseline.empty()) plan.baseline = index_of(plan.entries, request.baseline, "--baseline");
  for (const uint64_t seed : plan.seeds)
    for (size_t e = 0; e < plan.entries.size(); ++e) {
      const auto& [name, model, own] = plan.entries[e];
      ComparisonRun run;
      run.entry = e;
      run.seed = seed;
      run.name = str(name, "-", seed);
      run.directory = str(plan.out, "/runs/", run.name);
      run.overrides = request.settings;
      run.overrides.insert(run.overrides.end(), own.begin(), own.end());
      run.overrides.emplace_back("model.name", model);
      run.overrides.emplace_back("seed", std::to_string(seed));
      run.config = load_config(plan.config_path, run.overrides);
      plan.runs.push_back(std::move(run));
    }
  check_measured_alike(plan);
  check_days(plan.common());
  check_directory(plan);
  return plan;
}

std::string rows_path(const ComparisonRun& run) { return run.directory + "/rows.h5"; }

bool is_complete(const ComparisonRun& run) { return fs::exists(rows_path(run)); }

}  // namespace lime
