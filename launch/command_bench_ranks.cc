#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "launch/command.h"
#include "launch/option_checks.h"
#include "launch/rank_bench.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/log.h"

namespace lime {
namespace {

struct Choices {
  RankBenchOptions options;
  int64_t file_mb = 64;
  std::string json;
};

int run(Job& job, Choices& chosen) {
  chosen.options.file_bytes = chosen.file_mb << 20;
  parse_device(chosen.options.device);
  require_places(job.group, {{"--json", chosen.json}});
  start_logging("lime", job.group.rank(), job.group.size(), job.verbose);
  const bool root = job.group.rank() == 0;
  const RankBench bench =
      measure_ranks(job.group, chosen.options, [&](const std::string& what, int done, int total) {
        if (root) show_live(str(done + 1, "/", total, " ", what), done == total);
      });
  if (!root) return 0;
  std::cout << ranks_text(bench) << std::flush;  // before the file, for which the disk may have no room
  if (!chosen.json.empty()) write_file_atomically(chosen.json, ranks_json(chosen.options, bench));
  return 0;
}

}  // namespace

void add_bench_ranks_command(CLI::App& bench, Job& job) {
  auto& command = *bench.add_subcommand(
      "ranks", "Ranks and hosts beside each other, before a long job; under mpirun as that job will be");
  auto chosen = std::make_shared<Choices>();
  command
      .add_option("--device", chosen->options.device,
                  "Where ranks compute: cpu, cuda (each its own) or cuda:N")
      ->capture_default_str();
  command.add_option("--data", chosen->options.data, "Dataset whose files are read, from where they lie")
      ->type_name("DIR");
  command
      .add_option("--out", chosen->options.out,
                  "Directory, of all hosts, in which each rank writes a file, syncs and removes it")
      ->type_name("DIR");
  command.add_option("--file-mb", chosen->file_mb, "MiB of that file: a rank's part of a checkpoint")
      ->capture_default_str()
      ->check(integer_in(1, int64_t{1} << 20));
  command.add_option("--seconds", chosen->options.seconds, "Time for each measurement")
      ->capture_default_str()
      ->check(positive_number());
  command.add_option("--json", chosen->json, "Write all numbers, and what stands out, to this file")
      ->type_name("FILE");
  command.add_flag("--verbose", job.verbose, "Log lines of all ranks");
  command.footer(
      "All ranks measure at once: products, memory copies, reading, writing; then collectives, and each pair "
      "of\n"
      "hosts. Ends with what stands out: ranks and links clearly slower than the median, and ranks whose "
      "layers\n"
      "compute other bits from the same seed.\n"
      "Example:\n"
      "  mpirun --hostfile hosts lime bench ranks --data data/shop --out /shared/runs");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run(job, *chosen); }; });
}

}  // namespace lime
