#include "launch/same_everywhere.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <sstream>
#include <vector>

#include "launch/version.h"
#include "model/together.h"
#include "parallel/communicator.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/file_text.h"
#include "runtime/text.h"

namespace lime {
namespace {

std::string of_root(ProcessGroup& group, const std::string& text) {
  std::vector<char> bytes(text.begin(), text.end());
  broadcast_bytes(group.world(), bytes, 0);
  return {bytes.begin(), bytes.end()};
}

// "links: 8" on the one, "links: 16" on the other; a line that is not there is empty.
std::pair<std::string, std::string> first_difference(const std::string& a, const std::string& b) {
  std::istringstream in_a(a), in_b(b);
  std::string line_a, line_b;
  do {
    line_a.clear();
    line_b.clear();
    std::getline(in_a, line_a);
    std::getline(in_b, line_b);
  } while (line_a == line_b && (in_a || in_b));
  return {std::string(trimmed(line_a)), std::string(trimmed(line_b))};
}

void require_same(ProcessGroup& group, const std::string& what, const std::string& text) {
  if (group.size() == 1) return;
  const std::string root_host = of_root(group, group.host()), expected = of_root(group, text);
  together(group.world(), [&] {
    if (text == expected) return;
    const auto [found, wanted] = first_difference(text, expected);
    throw UserError(str(what, " is another one on ", group.host(), " (rank ", group.rank(), "): found '",
                        found, "', expected '", wanted, "' as on ", root_host));
  });
}

// Where it throws on some ranks, all throw what the lowest of them did; a host is named if others did not
// fail.
void on_every_host(ProcessGroup& group, const std::function<void()>& body) {
  std::optional<std::string> mistake;
  together(group.world(), [&] {
    try {
      body();
    } catch (const UserError& error) {
      mistake = error.what();
    }
  });
  const int64_t fine = mistake ? 0 : 1;
  const auto all = all_gather_values(group.world(), std::span<const int64_t>(&fine, 1));
  const bool anywhere = std::find(all.begin(), all.end(), 1) != all.end();
  together(group.world(), [&] {
    if (mistake) throw UserError(anywhere ? str("on ", group.host(), ": ", *mistake) : *mistake);
  });
}

// A file that goes with it.
struct Mark {
  std::string path;  // or ""
  ~Mark() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove(path, ignored);
  }
};

}  // namespace

void require_same_program(ProcessGroup& group) { require_same(group, "lime", version_text()); }

Config load_everywhere(ProcessGroup& group, const std::function<Config()>& load) {
  Config config;
  on_every_host(group, [&] { config = load(); });
  require_same(group, "the configuration", to_yaml(config));
  return config;
}

Config make_once(ProcessGroup& group, const std::function<Config()>& make) {
  Config config;
  together(group.world(), [&] {
    if (group.rank() == 0) config = make();
  });
  const std::string text = of_root(group, group.rank() == 0 ? to_yaml(config) : "");
  return group.rank() == 0 ? config : parse_config(text, "rank 0", {});
}

Dataset open_everywhere(ProcessGroup& group, const std::string& directory) {
  Dataset dataset;
  on_every_host(group, [&] { dataset = Dataset::open(directory); });
  const std::string path = directory + "/dataset.yaml";
  require_same(group, path, file_text(path));
  return dataset;
}

void require_shared_directory(ProcessGroup& group, const std::string& directory) {
  if (group.size() == 1) return;
  // A name of its own: a network file system may remember for a while that another one was not there.
  const std::string root_host = of_root(group, group.host());
  const std::string path = of_root(group, str(directory, "/.shared-", root_host, "-", getpid()));
  const Mark mark{group.rank() == 0 ? path : ""};
  together(group.world(), [&] {
    if (group.rank() == 0) write_file_atomically(path, root_host + "\n");
  });
  together(group.world(), [&] {
    if (!std::filesystem::exists(path))
      throw UserError(str("run directory ", directory, " is not the same on ", group.host(), " (rank ",
                          group.rank(), ") as on ", root_host,
                          ": expected one on a file system that all hosts share"));
  });
}

}  // namespace lime
