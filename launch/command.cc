#include "launch/command.h"

#include <CLI/CLI.hpp>

#include "runtime/error.h"

namespace lime {

Overrides parse_overrides(const std::vector<std::string>& settings) {
  Overrides overrides;
  for (const auto& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UserError(str("--set: found '", setting, "', expected key=value"));
    overrides.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
  return overrides;
}

void add_set_option(CLI::App& command, std::vector<std::string>& settings) {
  command
      .add_option("--set", settings,
                  "Set a key of the configuration: --set train.epochs=2 (repeatable; lime help config)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void add_rows_option(CLI::App& command, std::string& path) {
  command
      .add_option("--rows", path,
                  "Write every row of the evaluation (logit, label, watch time, day, user) to this HDF5 file")
      ->type_name("FILE");
}

void require_single_process(const ProcessGroup& group, const std::string& command) {
  if (group.size() > 1)
    throw UserError(str("lime ", command, " is one process: found ", group.size(),
                        " ranks, expected to be started without mpirun"));
}

}  // namespace lime
