#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>

#include "launch/command.h"
#include "launch/latency_report.h"
#include "launch/option_checks.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/log.h"
#include "serving/item_cache.h"

namespace lime {
namespace {

struct Choices {
  LatencyPlan plan;
  std::vector<int64_t> candidates = {64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
  std::vector<int64_t> history = {64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
  std::vector<int64_t> widths = {16, 32, 64, 128, 256, 512};
  std::string rows = "f32", device = "cpu", out;
};

void show(const MeasuredLatency& point, int64_t done, int64_t total) {
  char ms[32];
  std::snprintf(ms, sizeof ms, "%.3f ms", point.latency.median_ms);
  show_live(str(done, "/", total, " ", to_string(point.swept), ", ", point.model, ": ", ms), done == total);
}

int run(Job& job, Choices& chosen) {
  require_single_process(job.group, "bench latency");
  start_logging("lime", 0, 1, job.verbose);
  LatencyPlan& plan = chosen.plan;
  plan.options.rows = parse_row_type(chosen.rows);
  plan.options.device = parse_device(chosen.device);
  if (plan.options.precision != Precision::f32 && plan.options.device == Device{})
    throw UserError(
        str("--precision: found ", to_string(plan.options.precision), " on device cpu, expected f32"));
  const auto sweep = [&](Swept what, const std::vector<int64_t>& values) {
    if (!values.empty()) plan.sweeps.push_back({what, values});
  };
  sweep(Swept::candidates, chosen.candidates);
  sweep(Swept::history, chosen.history);
  sweep(Swept::width, chosen.widths);
  check(plan);
  std::filesystem::create_directories(chosen.out);
  const auto points = measure_latencies(plan, show);
  std::cout << latency_text(plan, points)
            << std::flush;  // before the files, for which the disk may have no room
  write_file_atomically(chosen.out + "/latency.json", latency_json(plan, points));
  for (const auto& one : plan.sweeps) {
    write_file_atomically(chosen.out + "/latency-" + to_string(one.what) + ".svg",
                          to_svg(latency_chart(plan, one.what, points), SvgUse::alone));
  }
  std::cout << "wrote " << chosen.out << "/latency.json and a chart of each sweep\n";
  return 0;
}

}  // namespace

void add_bench_command(CLI::App& app, Job& job) {
  auto& bench = *app.add_subcommand("bench", "Measure this machine, or the ranks of a job");
  bench.require_subcommand(1);
  auto& command =
      *bench.add_subcommand("latency", "Latency of scoring a request: over candidates, history and width");
  auto chosen = std::make_shared<Choices>();
  LatencyPlan& plan = chosen->plan;
  plan.models = {"mha", "hstu", "lime_mha", "lime_xor"};
  plan.options.model = latency_model("lime_xor");
  const auto size = [&](const std::string& name, int64_t& value, const std::string& what, int64_t least = 1) {
    command.add_option(name, value, what)->capture_default_str()->check(integer_in(least, int64_t{1} << 24));
  };
  command.add_option("--models", plan.models, "Models, apart by commas")
      ->delimiter(',')
      ->capture_default_str()
      ->type_name("LIST");
  add_sizes_option(command, "--candidates", chosen->candidates, "Candidates a request of the first curve");
  add_sizes_option(command, "--history", chosen->history, "Events of history of the second");
  add_sizes_option(command, "--widths", chosen->widths,
                   "Widths of queries and keys, over all heads, of the third");
  size("--base-candidates", plan.base.candidates, "Candidates of the other curves", 0);
  size("--base-history", plan.base.history, "Events of history of the other curves", 0);
  size("--base-width", plan.base.width, "Width of the other curves");
  size("--heads", plan.options.model.heads, "Heads");
  size("--links", plan.options.model.links, "Links of lime_mha and lime_xor");
  size("--blocks", plan.options.model.blocks, "Blocks of hstu and lime_xor");
  size("--items", plan.options.items, "Items in the tables and in the cache");
  command.add_option("--type", chosen->rows, "How cached item rows are stored: f32, f16, int8")
      ->capture_default_str();
  command.add_option("--device", chosen->device, "Where the network runs: cpu, cuda or cuda:N")
      ->capture_default_str();
  static const std::map<std::string, Precision> precisions = {
      {"f32", Precision::f32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}};
  command
      .add_option_function<std::string>(
          "--precision", [&plan](const std::string& name) { plan.options.precision = precisions.at(name); },
          "Of the network on a GPU")
      ->check(one_of({"f32", "tf32", "bf16"}))
      ->default_str("f32")
      ->type_name("TYPE");
  command.add_option("--seconds", plan.options.seconds, "Time for each point, which has at least 5 requests")
      ->capture_default_str()
      ->check(positive_number());
  command.add_option("--out", chosen->out, "Directory for latency.json and the charts")
      ->required()
      ->type_name("DIR");
  command.add_flag("--verbose", job.verbose, "Log lines");
  command.footer(
      "One request at a time, on one thread of the CPU or on a GPU, with random weights: history and user "
      "are\n"
      "gathered from tables; lime_mha and lime_xor run their user side and score cached items, the others "
      "run\n"
      "the whole network.\n"
      "Example:\n"
      "  lime bench latency --models hstu,lime_xor --candidates 64,4096,32768 --out runs/latency");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run(job, *chosen); }; });
  add_bench_ranks_command(bench, job);
}

}  // namespace lime
