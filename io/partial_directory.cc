#include "io/partial_directory.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <vector>

#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace fs = std::filesystem;
namespace {

constexpr const char* partial = ".partial-";
constexpr const char* replaced = ".replaced-";  // no name that somebody gives to a copy

bool is_alive(int process) { return ::kill(process, 0) == 0 || errno == EPERM; }

std::string folder_of(const std::string& path) { return fs::absolute(path).parent_path().string(); }

struct Leftover {
  std::string path;
  int process = 0;
};

// TARGET.partial-PID, say, in order of their names.
std::vector<Leftover> leftovers_of(const std::string& target, const std::string& infix) {
  std::vector<Leftover> found;
  const std::string prefix = fs::path(target).filename().string() + infix;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder_of(target), missing)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || !entry.is_directory()) continue;
    const auto process = parse_number<int>(std::string_view(name).substr(prefix.size()));
    if (process && *process > 0)
      found.push_back({target + name.substr(prefix.size() - infix.size()), *process});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return found;
}

// Whether its process may be alive. Throws UserError where somebody else has its lock.
bool may_live(const Leftover& leftover, const DirectoryLock& lock, const std::string& target) {
  if (!lock.held())
    throw UserError(str(target, ": process ", leftover.process, " is making it (", leftover.path, ")"));
  // Nobody's lock, but a process of that number: it may be between making the directory and locking it.
  return leftover.process != ::getpid() && is_alive(leftover.process);
}

void remove_leftovers(const std::string& target, const std::string& infix,
                      const std::function<void(const std::string&)>& notice) {
  for (const Leftover& leftover : leftovers_of(target, infix)) {
    const DirectoryLock lock(leftover.path);
    const bool stays = may_live(leftover, lock, target);
    std::error_code status;
    if (!stays) fs::remove_all(leftover.path, status);
    if (status) throw UserError(str(leftover.path, ": cannot be removed: ", status.message()));
    if (notice)
      notice(stays ? str(leftover.path, " is left: there is a process ", leftover.process)
                   : str("removed ", leftover.path, ", which a killed process left"));
  }
}

void rename_path(const std::string& from, const std::string& to) {
  std::error_code status;
  fs::rename(from, to, status);
  if (status) throw UserError(str(to, ": cannot rename ", from, " to it: ", status.message()));
}

}  // namespace

void settle_replaced(const std::string& target, const std::function<void(const std::string&)>& notice) {
  if (fs::exists(target)) return remove_leftovers(target, replaced, notice);
  for (const Leftover& leftover : leftovers_of(target, replaced)) {
    const DirectoryLock lock(leftover.path);
    if (may_live(leftover, lock, target)) continue;
    rename_path(leftover.path, target);
    if (notice) notice(str(target, " was ", leftover.path, ", where a killed process left it"));
    return;
  }
}

PartialDirectory::PartialDirectory(const std::string& target,
                                   const std::function<void(const std::string&)>& notice)
    : target_(target), path_(str(target, partial, ::getpid())), replaces_(fs::exists(target)) {
  remove_leftovers(target, partial, notice);
  make_folder("");
  lock_.emplace(path_);
  if (!lock_->held()) throw UserError(str(path_, ": another writer has it"));
}

PartialDirectory::~PartialDirectory() {
  std::error_code ignored;
  if (!published_) fs::remove_all(path_, ignored);
}

void PartialDirectory::make_folder(const std::string& name) const {
  const std::string folder = name.empty() ? path_ : path_ + "/" + name;
  std::error_code status;
  fs::create_directories(folder, status);
  if (status) throw UserError(str(folder, ": cannot make this directory: ", status.message()));
}

void PartialDirectory::publish() {
  const std::string old = str(target_, replaced, ::getpid());
  if (!replaces_ && fs::exists(target_))
    throw UserError(str(target_, ": was made meanwhile by somebody else, and is left as it is"));
  if (replaces_) rename_path(target_, old);
  rename_path(path_, target_);
  published_ = true;
  sync_path(folder_of(target_));
  if (replaces_) fs::remove_all(old);
}

}  // namespace lime
