#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "io/generate.h"
#include "launch/command.h"
#include "launch/command_writer.h"
#include "launch/option_checks.h"
#include "runtime/error.h"
#include "runtime/stopwatch.h"

namespace lime {
namespace {

// What configs/quickstart.yaml, configs/bench-xor.yaml and configs/long-history.yaml are made for.
GenerateOptions preset_options(const std::string& preset) {
  GenerateOptions options;
  options.name = preset.empty() ? options.name : preset;
  if (preset == "bench-xor") {  // every history 1024 events long, 16 candidates
    options.users = 1024;
    options.items = 1000000;
    options.days = 2;
    options.candidates = 16;
    options.history_length = 1024;
  }
  if (preset == "long-history") {  // what is liked shows a thousand and more events back, never in the latest
    options.users = 2000;
    options.candidates = 32;
    options.history_min = 2000;
    options.history_max = 20000;
    options.history_mean = 3000;
    options.events_per_user_per_day = 4;
    options.signal_lag = 1000;
  }
  return options;
}

struct Generate {
  std::string preset;
  std::string out;
  WriterChoices choices;
  // Options that were named, over those of the preset.
  std::vector<std::function<void(GenerateOptions&)>> given;
};

// An option with the preset's value unless it is given.
template <typename T>
void add_setting(CLI::App& command, const std::shared_ptr<Generate>& chosen, const std::string& name,
                 T GenerateOptions::*member, const std::string& help) {
  auto& option = *command.add_option_function<T>(
      name,
      [chosen = chosen.get(), member](const T& value) {
        chosen->given.push_back([=](GenerateOptions& options) { options.*member = value; });
      },
      help);
  option.default_str(str(GenerateOptions{}.*member));
  if constexpr (std::is_unsigned_v<T>) option.check(integer_from(0));  // else -1 is 2^64 - 1
}

void add_settings(CLI::App& command, const std::shared_ptr<Generate>& chosen) {
  const auto add = [&](const char* name, auto member, const char* help) {
    add_setting(command, chosen, name, member, help);
  };
  add("--name", &GenerateOptions::name, "Name of the dataset");
  add("--seed", &GenerateOptions::seed, "The same options and seed give the same bytes");
  add("--users", &GenerateOptions::users, "Users");
  add("--items", &GenerateOptions::items, "Items");
  add("--days", &GenerateOptions::days, "Days of requests; the last is meant to be held out");
  add("--first-day", &GenerateOptions::first_day, "The first of them");
  add("--requests", &GenerateOptions::requests_per_user_per_day, "Requests of a user a day");
  add("--candidates", &GenerateOptions::candidates, "Candidates of a request");
  add("--history-min", &GenerateOptions::history_min, "Fewest events of a user before the first day");
  add("--history-max", &GenerateOptions::history_max, "Most events of a user before the first day");
  add("--history-mean", &GenerateOptions::history_mean,
      "Events of a user before the first day, on average (a power law)");
  add("--history-length", &GenerateOptions::history_length,
      "Exactly so many events before every request; 0: as above");
  add("--events", &GenerateOptions::events_per_user_per_day, "Events of a user between requests, a day");
  add("--topics", &GenerateOptions::topics, "Topics of items (an even number)");
  add("--exposure", &GenerateOptions::exposure,
      "Share of events in liked topics; 0.5: how often a topic occurs says nothing");
  add("--item-exponent", &GenerateOptions::item_exponent, "Popularity falls as rank^-exponent; 0: uniform");
  add("--action-noise", &GenerateOptions::action_noise, "Share of actions that say the opposite");
  add("--signal-lag", &GenerateOptions::signal_lag, "Only events further back than so many carry the signal");
  add("--bias", &GenerateOptions::bias, "Logit of a click for an average user and item");
  add("--interest", &GenerateOptions::interest, "Strength of the planted signal");
  add("--evidence", &GenerateOptions::evidence, "How fast events of a topic saturate");
  add("--item-quality", &GenerateOptions::item_quality, "Standard deviation of items' logits");
  add("--user-bias", &GenerateOptions::user_bias, "Standard deviation of user segments' logits");
}

int run(const Job& job, const Generate& chosen) {
  require_single_process(job.group, "generate");
  GenerateOptions options = preset_options(chosen.preset);
  for (const auto& set : chosen.given) set(options);
  options.out = chosen.out;
  const StopSignal signal;
  options.writer = writer_options(chosen.choices, signal);
  const Stopwatch watch;
  const GenerateReport report = generate(options);
  print_report(report, options.out, watch.seconds());
  std::cout << "best reachable AUC on " << report.day_names.back() << ": " << report.bayes_auc
            << "; without reading histories: " << report.no_history_auc << "\n";
  return 0;
}

}  // namespace

void add_generate_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("generate", "Make a synthetic log with a planted signal");
  auto chosen = std::make_shared<Generate>();
  command.add_option("--out", chosen->out, "Dataset directory to make")->required()->type_name("DIR");
  command
      .add_option("--preset", chosen->preset, "Settings of configs/PRESET.yaml; options given besides it win")
      ->check(one_of({"quickstart", "bench-xor", "long-history"}));
  add_settings(command, chosen);
  add_writer_options(command, chosen->choices);
  command.footer(
      "Examples:\n"
      "  lime generate --preset quickstart --out data/quickstart\n"
      "  lime generate --users 1000 --items 500 --out data/small");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run(job, *chosen); }; });
}

}  // namespace lime
