#include <CLI/CLI.hpp>
#include <memory>

#include "io/import_csv.h"
#include "io/import_kuairand.h"
#include "io/import_movielens.h"
#include "io/import_taobao.h"
#include "launch/command.h"
#include "launch/command_writer.h"
#include "launch/option_checks.h"
#include "runtime/stopwatch.h"

namespace lime {
namespace {

template <typename Options>
struct Import {
  Options options;
  WriterChoices choices;
};

CLI::Option& add_file_option(CLI::App& command, const char* name, std::string& file, const char* help) {
  return *command.add_option(name, file, help)->type_name("FILE");
}

// What all importers have; `import` runs one.
template <typename Options>
void finish_importer(CLI::App& command, Job& job, std::shared_ptr<Import<Options>> chosen,
                     ImportReport (*import)(const Options&)) {
  add_target_options(command, chosen->choices);
  command
      .add_option("--max-bad-rows", chosen->options.max_bad_rows,
                  "Malformed rows that may be left out, in all")
      ->capture_default_str()
      ->check(integer_from(0));
  add_writer_options(command, chosen->choices);
  command.callback([&job, chosen, import] {
    chosen->options.out = target_dataset(chosen->choices);
    job.action = [&job, chosen, import] {
      require_single_process(job.group, "import");
      const StopSignal signal;
      chosen->options.writer = writer_options(chosen->choices, signal);
      const Stopwatch watch;
      const ImportReport report = signal.given_up_for([&] { return import(chosen->options); });
      print_report(report, chosen->options.out, watch.seconds());
      return 0;
    };
  });
}

void add_kuairand(CLI::App& importers, Job& job) {
  auto& command = *importers.add_subcommand("kuairand", "KuaiRand-Pure, -1K or -27K, as published");
  auto chosen = std::make_shared<Import<KuaiRandOptions>>();
  auto& options = chosen->options;
  command.add_option("--logs", options.logs, "log_*.csv files or quoted patterns, in any order")
      ->required()
      ->type_name("FILE");
  add_file_option(command, "--users", options.users, "user_features_*.csv; without: no user columns");
  add_file_option(command, "--videos", options.videos,
                  "video_features_basic_*.csv; without: no item columns");
  command.add_option("--name", options.name, "Name of the dataset")->capture_default_str();
  command.footer(
      "Example:\n"
      "  lime import kuairand --logs 'log_standard_*.csv' --users user_features_pure.csv \\\n"
      "      --videos video_features_basic_pure.csv --out data/kuairand-pure");
  finish_importer(command, job, chosen, import_kuairand);
}

void add_movielens(CLI::App& importers, Job& job) {
  auto& command = *importers.add_subcommand(
      "movielens", "MovieLens 100K, 1M, 20M and later; the form is told from the file");
  auto chosen = std::make_shared<Import<MovieLensOptions>>();
  auto& options = chosen->options;
  add_file_option(command, "--ratings", options.ratings, "u.data, ratings.dat or ratings.csv").required();
  add_file_option(command, "--users", options.users, "users.dat or u.user; without: no user columns");
  add_file_option(command, "--movies", options.movies,
                  "movies.dat, movies.csv or u.item; without: no genres");
  command.add_option("--threshold", options.threshold, "Ratings from here on are liked")
      ->capture_default_str();
  command
      .add_option("--period", options.period,
                  "What one day of the dataset covers; for years of ratings: month")
      ->check(one_of({"day", "month", "year"}))
      ->capture_default_str();
  command.add_option("--time-zone", options.time_zone, "Of the days")
      ->capture_default_str()
      ->type_name("+HH:MM");
  command.add_option("--name", options.name, "Name of the dataset")->capture_default_str();
  command.footer(
      "Example:\n"
      "  lime import movielens --ratings ratings.dat --users users.dat --movies movies.dat --out "
      "data/movielens-1m");
  finish_importer(command, job, chosen, import_movielens);
}

void add_taobao(CLI::App& importers, Job& job) {
  auto& command =
      *importers.add_subcommand("taobao", "Taobao display ads (Ali_Display_Ad_Click), as published");
  auto chosen = std::make_shared<Import<TaobaoOptions>>();
  auto& options = chosen->options;
  command.add_option("--samples", options.samples, "raw_sample.csv: files or quoted patterns, in any order")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--behavior", options.behavior,
                  "behavior_log.csv: files or quoted patterns, in any order; histories are made of it")
      ->required()
      ->type_name("FILE");
  add_file_option(command, "--ads", options.ads, "ad_feature.csv; without: no item columns");
  add_file_option(command, "--users", options.users, "user_profile.csv; without: no user columns");
  command.add_option("--name", options.name, "Name of the dataset")->capture_default_str();
  // Of 723 million events: whoever trains has some parts in memory, 32 bytes an event.
  chosen->choices.writer.parts = 128;
  command.footer(
      "Example:\n"
      "  lime import taobao --samples raw_sample.csv --behavior behavior_log.csv --ads ad_feature.csv \\\n"
      "      --users user_profile.csv --out data/taobao-ad\n"
      "Samples of a user with the same second and pid are one request. Behaviours are events\n"
      "without an item: histories are of cate, brand and btag. Left out and counted are behaviours\n"
      "of users without samples, and those outside the 22 days that end with the last sample's.\n"
      "An archive need not be unpacked:\n"
      "  tar xzOf behavior_log.csv.tar.gz | lime import taobao --behavior /dev/stdin ...");
  finish_importer(command, job, chosen, import_taobao);
}

void add_csv(CLI::App& importers, Job& job) {
  auto& command = *importers.add_subcommand(
      "csv", "CSV, JSON lines, Parquet and the like, by a YAML mapping of columns (docs/import_csv.md)");
  auto chosen = std::make_shared<Import<CsvImportOptions>>();
  add_file_option(command, "--mapping", chosen->options.mapping,
                  "YAML file: which files and columns hold what")
      .required();
  command.footer(
      "Example:\n"
      "  lime import csv --mapping shop.yaml --out data/shop\n"
      "where shop.yaml is for instance\n"
      "  impressions:\n"
      "    files: shown_*.csv\n"
      "    user: user_id\n"
      "    item: item_id\n"
      "    time: {column: timestamp, unit: s}\n"
      "    labels: {click: clicked}\n"
      "    event: {when: {column: clicked, at_least: 1}}   # histories are of what was clicked\n"
      "  items: {files: items.csv, item: item_id, features: {category: {kind: id}}}");
  finish_importer(command, job, chosen, import_csv);
}

}  // namespace

void add_import_command(CLI::App& app, Job& job) {
  auto& importers = *app.add_subcommand("import", "Make a dataset from logs, or add new days to one");
  importers.require_subcommand(1);
  add_kuairand(importers, job);
  add_movielens(importers, job);
  add_taobao(importers, job);
  add_csv(importers, job);
}

}  // namespace lime
