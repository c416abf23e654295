#include "launch/command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "model/together.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

void require_place(const std::string& option, const std::string& path, const std::string& made_later) {
  if (path == "-") throw UserError(str(option, ": found '-', expected the name of a file to write"));
  const auto parent = std::filesystem::path(path).lexically_normal().parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  if (!made_later.empty() &&
      parent == (std::filesystem::path(made_later) / "").lexically_normal().parent_path())
    return;
  std::error_code status;
  if (std::filesystem::is_directory(path, status))
    throw UserError(str(option, ": ", path, " is a directory, expected a file to write"));
  if (is_stream(path))
    throw UserError(str(option, ": ", path, " is a device or pipe, expected a file to write"));
  if (!std::filesystem::is_directory(folder, status))
    throw UserError(str(option, ": cannot write ", path, ": there is no directory ", folder));
  if (access(folder.c_str(), W_OK | X_OK) != 0)
    throw UserError(str(option, ": cannot write ", path, ": ", std::strerror(errno)));
}

}  // namespace

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

void add_set_option(CLI::App& command, std::vector<std::string>& settings, const std::string& example) {
  command
      .add_option("--set", settings,
                  str("Set a key of the configuration: --set ", example, " (repeatable; lime help config)"))
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void add_sizes_option(CLI::App& command, const std::string& name, std::vector<int64_t>& sizes,
                      const std::string& what) {
  const auto read = [&sizes, name](const std::string& text) {
    sizes.clear();
    std::istringstream words(text);
    for (std::string word; std::getline(words, word, ',');) {
      const auto n = parse_number<int64_t>(word);
      if (!n || *n < 1)
        throw UserError(str(name, ": found '", word, "', expected whole numbers > 0 apart by commas"));
      sizes.push_back(*n);
    }
    std::sort(sizes.begin(), sizes.end());
  };
  command.add_option_function<std::string>(name, read, str(what, "; '' for none [", joined(sizes, ","), "]"))
      ->type_name("LIST");
}

void show_live(const std::string& line, bool finished) {
  if (isatty(fileno(stderr)) == 0) return;
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  if (finished) std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

void show_live_share(const std::string& what, double fraction) {
  char percent[16];
  std::snprintf(percent, sizeof percent, " %3.0f%%", 100 * fraction);
  show_live(what + percent, fraction >= 1);
}

std::function<void(int64_t, int64_t)> live_count(const std::string& what) {
  return [what](int64_t done, int64_t total) { show_live(str(what, " ", done, "/", total), done >= total); };
}

std::function<void(int64_t, int64_t)> live_count(const std::string& what, const StopSignal& signal) {
  return [show = live_count(what), &signal](int64_t done, int64_t total) {
    show(done, total);
    signal.check();
  };
}

void add_run_options(CLI::App& command, std::string& run, std::string& checkpoint, std::string& data) {
  command.add_option("run", run, "Run directory of lime train")->required()->type_name("RUN");
  command
      .add_option("--checkpoint", checkpoint,
                  "Name under RUN/checkpoints, best or newest [best if train.best has it kept, else newest]")
      ->type_name("NAME");
  command.add_option("--data", data, "Dataset in place of the run's")->type_name("DIR");
}

void add_rows_option(CLI::App& command, std::string& path) {
  command
      .add_option("--rows", path,
                  "Write every row of the evaluation (logit, label, watch time, day, user, request) to this "
                  "HDF5 file")
      ->type_name("FILE");
}

void require_places(ProcessGroup& group, const std::vector<std::pair<std::string, std::string>>& options,
                    const std::string& made_later) {
  together(group.world(), [&] {
    if (group.rank() != 0) return;
    for (const auto& [option, path] : options)
      if (!path.empty()) require_place(option, path, made_later);
  });
}

void require_single_process(const ProcessGroup& group, const std::string& command) {
  if (group.size() > 1)
    throw UserError(str("lime ", command, " is one process: found ", group.size(),
                        " ranks, expected to be started without mpirun"));
}

}  // namespace lime
