#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "launch/command.h"
#include "launch/compare/child_process.h"
#include "launch/compare/report.h"
#include "launch/compare/runner.h"
#include "launch/latency.h"
#include "launch/option_checks.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/log.h"

namespace lime {
namespace {

struct Compare {
  ComparisonRequest request;
  RunnerOptions runner;
  ResultOptions results;
  std::vector<std::string> settings;
  std::vector<std::vector<std::string>> settings_for;
  std::vector<int64_t> latency_candidates = {64, 1024, 16384};
};

// One request of a full history, at each number of candidates, with the sizes of the run's model. What was
// measured stays beside the run: the same command again gives the same report.
LatencyProbe latency_probe(const std::vector<int64_t>& candidates) {
  if (candidates.empty()) return {};
  return [candidates](const ComparisonRun& run) {
    const std::string path = run.directory + "/latency.json";
    nlohmann::json kept = nlohmann::json::object();
    if (std::ifstream file(path); file) kept = nlohmann::json::parse(file, nullptr, false);
    if (!kept.is_object()) kept = nlohmann::json::object();
    LatencyOptions options;
    options.model = run.config.model;
    options.seconds = 0.3;
    options.items = 1 << 15;
    std::vector<LatencyPoint> points;
    for (const int64_t n : candidates) {
      const RequestSize size = {n, run.config.data.max_history, run.config.model.width};
      auto& entry = kept[std::to_string(n)];
      if (!entry.is_object() || !entry.contains("median_ms") || !entry.contains("p99_ms")) {
        const Latency latency = measure_latency(options, size);
        entry = {{"median_ms", latency.median_ms}, {"p99_ms", latency.p99_ms}};
      }
      points.push_back({n, size.history, entry["median_ms"], entry["p99_ms"]});
    }
    write_file_atomically(path, kept.dump(2) + "\n");
    return points;
  };
}

int run(Job& job, Compare& chosen) {
  require_single_process(job.group, "compare");
  start_logging("lime", job.group.rank(), job.group.size(), job.verbose);
  chosen.request.settings = parse_overrides(chosen.settings);
  for (const auto& words : chosen.settings_for) {
    const auto setting = parse_overrides({words.at(1)});
    auto& of_entry = chosen.request.settings_for[words.at(0)];
    of_entry.insert(of_entry.end(), setting.begin(), setting.end());
  }
  const ComparisonPlan plan = plan_comparison(chosen.request);
  chosen.runner.program = this_program();
  const RunnerOutcome outcome = train_runs(plan, chosen.runner);
  if (outcome.stopped) {
    std::fprintf(stderr, "stopped; the same command goes on\n");
    return 0;
  }
  chosen.results.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  chosen.results.progress = show_live_share;
  chosen.results.latency = latency_probe(chosen.latency_candidates);
  ComparisonResults results = collect_results(plan, outcome.failures, chosen.results);
  results.jobs = chosen.runner.jobs;
  std::cout << to_text(results) << std::endl;  // before the files, for which the disk may have no room
  write_file_atomically(plan.out + "/report.json", to_json(results));
  write_file_atomically(plan.out + "/report.md", to_markdown(results));
  write_file_atomically(plan.out + "/report.html", to_html(results));
  std::cout << "wrote " << plan.out << "/report.html, report.md, report.json\n";
  return outcome.failures.empty() ? 0 : 1;
}

}  // namespace

void add_compare_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("compare", "Train several models on the same days and compare them");
  auto chosen = std::make_shared<Compare>();
  auto& request = chosen->request;
  command
      .add_option("config", request.config, "YAML file, as for lime train; data.eval are the held-out days")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--models", request.entries,
                  "Models, apart by commas; NAME=MODEL names a variant that --set-for makes different")
      ->required()
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  request.seeds = {1, 2, 3};
  command.add_option("--seeds", request.seeds, "Seeds, apart by commas [1,2,3]")
      ->delimiter(',')
      ->check(integer_from(0))
      ->allow_extra_args(false)
      ->type_name("LIST");
  command.add_option("--baseline", request.baseline, "What differences are to [the first of --models]")
      ->type_name("NAME");
  add_set_option(command, chosen->settings, "train.epochs=2");
  command.add_option("--set-for", chosen->settings_for, "Set a key for one of the models only (repeatable)")
      ->type_name("NAME KEY=VALUE")
      ->type_size(2)
      ->allow_extra_args(false);
  command.add_option("--out", request.out, "Directory of the comparison; one that is there goes on")
      ->required()
      ->type_name("DIR");
  command
      .add_option("--jobs", chosen->runner.jobs, "Runs at a time; with more than one, requests/s mean little")
      ->capture_default_str()
      ->check(integer_in(1, 1024));
  command.add_option("--ranks", chosen->runner.ranks, "Ranks of each run, started by --launcher")
      ->capture_default_str()
      ->check(integer_in(1, int64_t{1} << 20));
  command
      .add_option("--launcher", chosen->runner.launcher,
                  "Starts the ranks of a run: LAUNCHER -np RANKS lime train ...")
      ->capture_default_str()
      ->type_name("COMMAND");
  command.add_option("--resamples", chosen->results.resamples, "Bootstrap resamples of users")
      ->capture_default_str()
      ->check(integer_in(1, 1000000));
  add_sizes_option(command, "--latency", chosen->latency_candidates,
                   "Candidates at which a request's latency is measured");
  command.add_flag("--verbose", job.verbose, "Log lines");
  command.footer(
      "Every run is a `lime train` of its own, in DIR/runs/NAME-SEED, its output in DIR/logs. A run that is\n"
      "complete is not trained again, one that was interrupted goes on: after a stop or a failure, give the\n"
      "same command again. More models or seeds may be added to a comparison. A run that fails is named, "
      "the\n"
      "others go on; its model is left out of the report, and the exit code is 1. Writes DIR/report.html,\n"
      "report.md and report.json.\n"
      "Examples:\n"
      "  lime compare configs/kuairand.yaml --models hstu,mha,lime_xor --baseline hstu --out runs/compare\n"
      "  lime compare configs/kuairand.yaml --models lime_xor,blind=lime_xor \\\n"
      "      --set-for blind data.max_history=0 --out runs/blind");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run(job, *chosen); }; });
}

}  // namespace lime
