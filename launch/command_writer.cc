#include "launch/command_writer.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "launch/command.h"

namespace lime {

void add_writer_options(CLI::App& command, WriterChoices& choices) {
  command
      .add_option("--parts", choices.writer.parts,
                  "Parts that users are divided into: at least train.micro_batches")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{99999}));
  command.add_option("--memory-mb", choices.memory_mb, "Memory for sorting, in MiB")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{16}, int64_t{1} << 24));
  command.add_option("--compression", choices.writer.compression, "Deflate level of the columns; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 9));
  command.add_flag("--overwrite", choices.writer.overwrite, "Replace a dataset that is already there");
}

WriterOptions writer_options(const WriterChoices& choices) {
  WriterOptions options = choices.writer;
  options.memory_bytes = choices.memory_mb << 20;
  options.progress = show_live_share;
  options.notice = [](const std::string& line) { std::cerr << "lime: " << line << "\n"; };
  return options;
}

void print_report(const ImportReport& report, const std::string& dataset) {
  if (report.rows > 0) std::cout << "read " << report.rows << " rows, " << (report.bytes >> 20) << " MiB\n";
  if (report.bad_rows > 0) std::cout << "left out " << report.bad_rows << " bad rows; the first:\n";
  for (const auto& example : report.bad_examples) std::cout << "  " << example << "\n";
  const Dataset written = Dataset::open(dataset);
  std::cout << "wrote " << dataset << ": " << report.users << " users, " << report.events << " events, "
            << report.requests << " requests, " << report.candidates << " candidates, " << report.days
            << " days";
  if (report.items > 0) std::cout << ", " << report.items << " items with features";
  std::cout << "\n";
  const auto& labels = written.schema().labels;
  for (size_t k = 0; k < report.label_rates.size() && k < labels.size(); ++k)
    std::cout << (k == 0 ? "label rates: " : ", ") << labels[k] << " " << report.label_rates[k];
  if (!labels.empty()) std::cout << "\n";
  if (!written.days().empty())
    std::cout << "days " << written.days().front().day << ".." << written.days().back().day
              << "; see: lime inspect " << dataset << "\n";
}

}  // namespace lime
