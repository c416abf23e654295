// lime: imports logs, trains ranking models on them, evaluates and scores.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <regex>
#include <utility>

#include "launch/command.h"
#include "launch/failure.h"
#include "launch/same_everywhere.h"
#include "launch/version.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace {

using namespace lime;

// The command that was being given when parsing failed, for its names and its help.
const CLI::App& innermost(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? app : innermost(*chosen.back());
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() ? full_name(*app.get_parent()) + " " + app.get_name() : app.get_name();
}

// What the library says of values, as our checks say it (launch/option_checks.h).
std::string in_our_words(const std::string& message) {
  static const std::pair<std::regex, const char*> phrases[] = {
      {std::regex("Could not convert: (\\S+) = (.*)"), "$1: found '$2', expected a number"},
      {std::regex("(\\S+): At [Mm]ost 1 required but received (\\d+)"), "$1: found $2 times, expected once"},
      {std::regex("(\\S+): 1 required (\\S+) missing"), "$1: found nothing, expected $2"}};
  for (const auto& [theirs, ours] : phrases)
    if (std::regex_match(message, theirs)) return std::regex_replace(message, theirs, ours);
  return message;
}

// One line: what was found, what is close to it, where the help is.
std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost(app);
  std::vector<std::string> names;
  for (const auto* sub : command.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(sub->get_name());
  for (const auto* option : command.get_options())
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  std::string message = in_our_words(error.what());
  const auto extras = command.remaining();
  if (!extras.empty()) {
    message = str("unknown ", extras.front().starts_with("-") ? "option '" : "command or argument '",
                  extras.front(), "'", did_you_mean(likely_word(extras.front(), names)));
  }
  for (char& c : message)
    if (c == '\n') c = ' ';
  return str(message, "; see: ", full_name(command), " --help");
}

// An empty value is a shell's variable that is not set: --from "$RUN" must not mean to begin anew.
void refuse_empty_values(const CLI::App& command) {
  for (const auto* option : command.get_options()) {
    const std::string type = option->get_type_name();
    const bool needs_value = type == "FILE" || type == "DIR" || type == "RUN" || type == "DATASET" ||
                             type == "NAME" || type == "DAYS";
    const auto& values = option->results();
    if (needs_value && std::find(values.begin(), values.end(), "") != values.end())
      throw UserError(
          str(option->get_name(), ": found '', expected a value; see: ", full_name(command), " --help"));
  }
}

// A result that is lost because the disk is full must not look like success.
void require_output_written() {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::cout.good() && std::ferror(stdout) == 0) return;
  throw UserError(str("standard output cannot be written: ", std::strerror(errno)));
}

int run(int argc, char** argv, ProcessGroup& group) {
  CLI::App app("Trains LIME ranking models on impression logs.", "lime");
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text(), "Show version, commit and libraries, and exit");
  app.get_formatter()->column_width(34);
  Job job{group, false, {}};
  add_import_command(app, job);
  add_generate_command(app, job);
  add_inspect_command(app, job);
  add_configure_command(app, job);
  add_train_command(app, job);
  add_eval_command(app, job);
  add_importance_command(app, job);
  add_predict_command(app, job);
  add_cache_command(app, job);
  add_score_command(app, job);
  add_compare_command(app, job);
  add_bench_command(app, job);
  add_help_command(app, job);
  app.footer(  // given last: commands take over the footer of the moment they are added
      "From logs to scores:\n"
      "  lime import csv --mapping shop.yaml --out data/shop\n"
      "  lime configure data/shop --out config.yaml\n"
      "  mpirun -np 2 lime train config.yaml --out runs/first\n"
      "  lime eval runs/first\n"
      "Errors a user can mend are one line on stderr and exit code 2; anything else exits with 1. After\n"
      "Ctrl-C a run goes on with --resume, and a comparison with the same command; other commands leave\n"
      "nothing behind and exit with 130.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw UserError(usage_error(app, error));
    return group.rank() == 0 ? app.exit(error) : 0;  // --help, --version
  }
  refuse_empty_values(innermost(app));
  return job.action();
}

}  // namespace

int main(int argc, char** argv) {
  ProcessGroup group(&argc, &argv);
  FailureReporter failures(group);
  try {
    require_same_program(group);
    const int code = run(argc, argv, group);
    require_output_written();
    return code;
  } catch (const std::exception& error) {
    return failures.report(error);
  }
}
