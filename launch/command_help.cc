#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "launch/command.h"
#include "model/config_keys.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {

void add_help_command(CLI::App& app, Job& job) {
  auto& command =
      *app.add_subcommand("help", "Explain a command, or all configuration keys: lime help config");
  struct Choice {
    std::string topic;
    bool markdown = false;
  };
  auto chosen = std::make_shared<Choice>();
  command.add_option("topic", chosen->topic, "A command, or config")->type_name("TOPIC");
  command.add_flag("--markdown", chosen->markdown, "config: as the tables of docs/configuration.md");
  command.callback([&app, &job, chosen] {
    job.action = [&app, &job, chosen] {
      std::string text;
      if (chosen->topic.empty()) {
        text = app.help();
      } else if (chosen->topic == "config") {
        text = describe_keys(chosen->markdown);
      } else {
        std::vector<std::string> topics = {"config"};
        for (const auto* known : app.get_subcommands([](const CLI::App*) { return true; })) {
          if (known->get_name() == chosen->topic) text = known->help("lime");
          topics.push_back(known->get_name());
        }
        if (text.empty())
          throw UserError(str("lime help: unknown topic '", chosen->topic, "'",
                              did_you_mean(likely_word(chosen->topic, topics))));
      }
      if (job.group.rank() == 0) std::cout << text;
      return 0;
    };
  });
}

}  // namespace lime
