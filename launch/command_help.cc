#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "launch/command.h"
#include "model/config_keys.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

// The help of a command of a command, as deep as `words` go.
std::string help_of(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  std::string above;
  for (const auto& word : words) {
    const CLI::App* found = nullptr;
    std::vector<std::string> known;
    for (const auto* sub : command->get_subcommands([](const CLI::App*) { return true; })) {
      if (sub->get_name() == word) found = sub;
      known.push_back(sub->get_name());
    }
    if (command == &app) known.push_back("config");
    if (!found) {
      const std::string meant = did_you_mean(likely_word(word, known));
      throw UserError(
          str("lime help: unknown topic '", word, "'",
              meant.empty() ? str(", expected config or a command of: lime", above, " --help") : meant));
    }
    above += str(" ", word);
    command = found;
  }
  // Not help(): of an App with a parsed command it would be that command's, `help` itself.
  return command->get_formatter()->make_help(command, "lime" + above, CLI::AppFormatMode::Normal);
}

// All keys, or with words behind "config" those of a section.
std::string help_of_config(const std::vector<std::string>& topic, bool markdown) {
  if (topic.size() == 1) return describe_keys(markdown);
  std::string text;
  for (size_t i = 1; i < topic.size(); ++i) {
    const std::string keys = describe_keys_of(topic[i]);
    if (keys.empty())
      throw UserError(str("lime help config: no key is, or begins with, '", topic[i], "'",
                          did_you_mean(nearest_key(split_path(topic[i])))));
    text += keys;
  }
  return text;
}

}  // namespace

void add_help_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("help", "Explain a command, or configuration keys: lime help config");
  struct Choice {
    std::vector<std::string> topic;
    bool markdown = false;
  };
  auto chosen = std::make_shared<Choice>();
  command.add_option("topic", chosen->topic, "A command, or config and a section of it")->type_name("TOPIC");
  command.add_flag("--markdown", chosen->markdown, "config: as the tables of docs/configuration.md");
  command.footer(
      "Examples:\n"
      "  lime help config\n"
      "  lime help config train.adamw\n"
      "  lime help import csv");
  command.callback([&app, &job, chosen] {
    job.action = [&app, &job, chosen] {
      const bool config = !chosen->topic.empty() && chosen->topic.front() == "config";
      const std::string text =
          config ? help_of_config(chosen->topic, chosen->markdown) : help_of(app, chosen->topic);
      if (job.group.rank() == 0) std::cout << text;
      return 0;
    };
  });
}

}  // namespace lime
