#include "model/checkpoint_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "model/checkpoint.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/log.h"

namespace lime {
namespace {

namespace fs = std::filesystem;

constexpr const char* name_prefix = "step-";
constexpr const char* partial_suffix = ".partial";

[[noreturn]] void fail(const std::string& path, int error) {
  throw UserError(str(path, ": ", std::strerror(error)));
}

void remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail(path, error.value());
}

std::vector<std::string> names_in(const std::string& directory) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory) fail(directory, error.value());
  return names;
}

}  // namespace

std::string join(const std::string& directory, const std::string& name) {
  return (fs::path(directory) / name).string();
}

std::string checkpoints_directory(const std::string& run_directory) {
  return (fs::path(run_directory) / "checkpoints").string();
}

std::string checkpoint_name(int64_t step) {
  const std::string digits = std::to_string(step);
  return name_prefix + std::string(digits.size() < 9 ? 9 - digits.size() : 0, '0') + digits;
}

std::optional<int64_t> checkpoint_step(const std::string& name) {
  const std::string digits = name.starts_with(name_prefix) ? name.substr(std::strlen(name_prefix)) : "";
  if (digits.size() < 9 || digits.size() > 18 ||
      !std::all_of(digits.begin(), digits.end(), [](char c) { return '0' <= c && c <= '9'; }))
    return std::nullopt;
  return std::stoll(digits);
}

std::string partial_name(const std::string& directory) { return directory + partial_suffix; }

void make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(path, error.value());
}

void publish(const std::string& partial, const std::string& directory) {
  sync_path(partial);
  if (rename(partial.c_str(), directory.c_str()) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) fail(directory, errno);
    // Step done twice (a run resumed before it): change places, so that a whole one stands there at any
    // moment; where the file system cannot, the older checkpoints are what a crash between the two leaves.
    if (renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, directory.c_str(), RENAME_EXCHANGE) == 0) {
      remove_tree(partial);
    } else {
      remove_tree(directory);
      if (rename(partial.c_str(), directory.c_str()) != 0) fail(directory, errno);
    }
  }
  const fs::path checkpoints = fs::path(directory).parent_path();
  sync_path(checkpoints.string());
  sync_path((checkpoints / "..").string());
}

void remove_partial(const std::string& run_directory) {
  const std::string directory = checkpoints_directory(run_directory);
  for (const auto& name : names_in(directory))
    if (name.ends_with(partial_suffix)) remove_tree((fs::path(directory) / name).string());
}

std::vector<std::string> list_checkpoints(const std::string& run_directory) {
  std::vector<std::string> names;
  for (const auto& name : names_in(checkpoints_directory(run_directory)))
    if (checkpoint_step(name)) names.push_back(name);
  std::sort(names.begin(), names.end(),
            [](const auto& a, const auto& b) { return *checkpoint_step(a) > *checkpoint_step(b); });
  return names;
}

std::string checkpoint_directory(const std::string& run_directory, const std::string& name) {
  return (fs::path(checkpoints_directory(run_directory)) / name).string();
}

void keep_newest(const std::string& run_directory, int64_t step, int64_t keep, std::optional<int64_t> best) {
  if (keep < 1) return;
  // Oldest first, so that a crash leaves the newest.
  std::vector<std::string> names = list_checkpoints(run_directory);
  std::erase_if(names, [&](const std::string& name) { return *checkpoint_step(name) > step; });
  for (size_t i = names.size(); i-- > static_cast<size_t>(keep);) {
    if (checkpoint_step(names[i]) == best) continue;
    const std::string path = checkpoint_directory(run_directory, names[i]);
    try {
      // Out of the list of checkpoints at once, then at leisure: a crash here leaves no half one under a
      // whole one's name.
      if (rename(path.c_str(), partial_name(path).c_str()) != 0) fail(path, errno);
      remove_tree(partial_name(path));
    } catch (const UserError& error) {
      LOG(WARNING) << "cannot remove an old checkpoint: " << error.what();
    }
  }
}

}  // namespace lime
