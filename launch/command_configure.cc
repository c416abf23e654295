#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "launch/command.h"
#include "launch/option_checks.h"
#include "launch/starter_config.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

struct Choice {
  StarterOptions options;
  std::string out;
};

void configure(const Choice& choice) {
  if (!choice.out.empty() && std::filesystem::exists(choice.out))
    throw UserError(str(choice.out, ": exists already; choose another name for --out"));
  const StopSignal signal;
  const auto [text, left_out] =
      starter_config(Dataset::open(choice.options.data_path), choice.options, live_count("reading", signal));
  for (const auto& found : left_out)
    std::cerr << "lime: left out " << to_string(found.side) << "." << found.feature
              << ": alone it has an AUC of " << grouped(found.auc, 3) << " of " << found.label
              << ", as what is only known afterwards has; a comment says how to put it back\n";
  if (choice.out.empty()) {
    std::cout << text << std::flush;
    return;
  }
  write_file_atomically(choice.out, text);
  std::cout << "wrote " << choice.out << "; look at its features, then: lime train " << choice.out
            << " --out runs/first\n";
}

}  // namespace

void add_configure_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("configure", "Write a configuration to start from, for a dataset");
  auto chosen = std::make_shared<Choice>();
  command.add_option("data", chosen->options.data_path, "Dataset directory")->required()->type_name("DIR");
  command.add_option("--out", chosen->out, "File to write [standard output]")->type_name("FILE");
  command.add_option("--task", chosen->options.task, "Label to learn [the first]")->type_name("LABEL");
  command
      .add_option("--hold-out", chosen->options.hold_out,
                  "Last days, to evaluate on [as many as have a twentieth of all requests]")
      ->check(integer_from(1))
      ->type_name("DAYS");
  command.footer(
      "All columns are features but those that alone give a label away (by the last million candidates; a\n"
      "comment says so), the last days are held out, histories are as long as most users', and the rest is\n"
      "what has done well on real logs.\n"
      "Example:\n"
      "  lime configure data/shop --out shop.yaml");
  command.callback([&job, chosen] {
    job.action = [&job, chosen] {
      require_single_process(job.group, "configure");
      configure(*chosen);
      return 0;
    };
  });
}

}  // namespace lime
