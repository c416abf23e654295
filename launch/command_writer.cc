#include "launch/command_writer.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "launch/command.h"
#include "launch/option_checks.h"
#include "runtime/error.h"
#include "runtime/one_line.h"
#include "runtime/text.h"

namespace lime {

void add_writer_options(CLI::App& command, WriterChoices& choices) {
  command
      .add_option("--parts", choices.writer.parts,
                  "Parts that users are divided into: at least train.micro_batches")
      ->capture_default_str()
      ->check(integer_in(1, 99999));
  command.add_option("--memory-mb", choices.memory_mb, "Memory for sorting, in MiB")
      ->capture_default_str()
      ->check(integer_in(16, int64_t{1} << 24));
  command.add_option("--compression", choices.writer.compression, "Deflate level of the columns; 0: none")
      ->capture_default_str()
      ->check(integer_in(0, 9));
  command.add_flag("--overwrite", choices.writer.overwrite, "Replace a dataset that is already there");
  if (auto* adds = command.get_option_no_throw("--add-to"))
    adds->excludes("--parts")->excludes("--overwrite");
}

void add_target_options(CLI::App& command, WriterChoices& choices) {
  auto* out = command.add_option("--out", choices.out, "Dataset directory to make")->type_name("DIR");
  command
      .add_option("--add-to", choices.add_to,
                  "Dataset to add new days to; rows that it has, or that come late, are left out and counted")
      ->type_name("DATASET")
      ->excludes(out);
}

std::string target_dataset(const WriterChoices& choices) {
  if (choices.out.empty() && choices.add_to.empty()) throw CLI::RequiredError("--out or --add-to");
  return choices.out.empty() ? choices.add_to : choices.out;
}

WriterOptions writer_options(const WriterChoices& choices, const StopSignal& signal) {
  WriterOptions options = choices.writer;
  options.add = !choices.add_to.empty();
  options.memory_bytes = choices.memory_mb << 20;
  options.progress = [&signal](const std::string& what, double fraction) {
    show_live_share(what, fraction);
    signal.check();
  };
  options.notice = [](const std::string& line) { std::cerr << "lime: " << line << "\n"; };
  return options;
}

namespace {

std::string counted(int64_t events, int64_t requests) {
  return str(grouped(events), " events and ", grouped(requests), " requests");
}

void print_added(const AddedRows& added, const std::string& dataset) {
  if (added.known_events + added.known_requests > 0)
    std::cout << "left out " << counted(added.known_events, added.known_requests)
              << " of days or times that the dataset has already\n";
  if (added.late_events + added.late_requests > 0)
    std::cout
        << "left out " << counted(added.late_events, added.late_requests)
        << " that come late: older than what the dataset has of their user, or of days before its last\n";
  if (!added.any()) {
    std::cout << "nothing to add: " << dataset << " is as it was\n";
    return;
  }
  std::cout << "added to " << dataset << ": " << (added.days.empty() ? "no days" : joined(added.days, ", "))
            << ": " << counted(added.events, added.requests) << ", " << grouped(added.candidates)
            << " candidates, " << grouped(added.users) << " new users, " << grouped(added.changed_users)
            << " with other features, " << grouped(added.new_items) << " new items, "
            << grouped(added.changed_items) << " with other features\n";
}

// Features are as of now for all days: those that change every night tell training of days to come.
void note_changes(const AddedRows& added, int64_t users, int64_t items) {
  const auto note = [](int64_t changed, int64_t all, const char* what) {
    constexpr int64_t share = 10;  // one in so many
    if (changed == 0 || changed * share < all) return;
    std::cout << "note: " << grouped(changed) << " of " << grouped(all) << " " << what
              << " have other features now, for all days, also those before: what changes from day to day "
                 "belongs in the log, as a feature of the candidate or the request\n";
  };
  note(added.changed_users, users, "users");
  note(added.changed_items, items, "items");
}

void print_coverage(const FeatureCoverage& coverage) {
  const auto percent = [](double share) {
    char text[16];
    std::snprintf(text, sizeof text, "%.1f%%", 100 * share);
    return std::string(text);
  };
  constexpr double hardly_any = 0.1;
  std::vector<std::string> shares, missing;
  const auto add = [&](const std::optional<double>& share, const std::string& of_all,
                       const std::string& of_one) {
    if (!share) return;
    shares.push_back(str(percent(*share), " of the ", of_all));
    if (*share < hardly_any) missing.push_back(of_one);
  };
  add(coverage.users, "users", "user");
  add(coverage.items, "items shown", "item");
  if (!shares.empty()) std::cout << "features of " << joined(shares, " and ") << "\n";
  for (const auto& what : missing)
    std::cout << "note: hardly any " << what << " of the log has a row in the table of " << what
              << "s: are their ids written alike in both?\n";
}

}  // namespace

void print_report(const ImportReport& report, const std::string& dataset, double seconds) {
  if (report.rows > 0) {
    char rate[64];
    std::snprintf(rate, sizeof rate, "%.1f s, %.0f rows/s", seconds,
                  static_cast<double>(report.rows) / std::max(seconds, 1e-3));
    std::cout << "read " << report.rows << " rows, " << (report.bytes >> 20) << " MiB: " << rate << "\n";
  }
  if (report.bad_rows > 0) std::cout << "left out " << report.bad_rows << " bad rows; the first:\n";
  for (const auto& example : report.bad_examples) std::cout << "  " << one_line(example) << "\n";
  for (const auto& line : report.left_out) std::cout << "left out " << line << "\n";
  if (report.added) print_added(*report.added, dataset);
  const Dataset written = Dataset::open(dataset);
  std::cout << (report.added ? "it has" : str("wrote ", dataset, ":")) << " " << report.users << " users, "
            << report.events << " events, " << report.requests << " requests, " << report.candidates
            << " candidates, " << report.days << (report.days == 1 ? " day" : " days");
  if (report.items > 0) std::cout << ", " << report.items << " items with features";
  std::cout << "\n";
  print_coverage(report.coverage);
  if (report.added) note_changes(*report.added, report.users, report.items);
  for (const auto& line : report.notes) std::cout << "note: " << line << "\n";
  const auto& labels = written.schema().labels;
  const bool rates = !report.added || report.added->candidates > 0;  // of what was written
  for (size_t k = 0; rates && k < report.label_rates.size() && k < labels.size(); ++k)
    std::cout << (k == 0 ? "label rates: " : ", ") << labels[k] << " " << report.label_rates[k];
  if (rates && !labels.empty()) std::cout << "\n";
  for (size_t k = 0; !report.added && k < report.label_rates.size() && k < labels.size(); ++k)
    if (const double rate = report.label_rates[k]; rate == 0 || rate == 1)
      std::cout << "note: " << labels[k] << " is " << rate
                << " in every row, of which nothing is learned: is it read from the right column, by the "
                   "right value?\n";
  if (!written.days().empty() && written.days().back().day < "1980")
    std::cout << "note: all days are before 1980: is the unit of time right?\n";
  if (!written.days().empty())
    std::cout << "days " << written.days().front().day << ".." << written.days().back().day
              << "; see: lime inspect " << dataset << ", lime configure " << dataset << "\n";
}

}  // namespace lime
