#include "launch/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "launch/same_everywhere.h"
#include "launch/version.h"
#include "model/run_choice.h"
#include "model/together.h"
#include "parallel/communicator.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string system_reason() { return std::strerror(errno); }

void on_root(ProcessGroup& group, const std::function<void()>& act) {
  together(group.world(), [&] {
    if (group.rank() == 0) act();
  });
}

// What a job that was killed before it had config.yaml may leave.
bool is_left_over(const std::string& name) {
  return name == ".lock" || name.starts_with(".shared-") || name == "config.yaml.partial" ||
         name == "environment.json" || name == "environment.json.partial";
}

bool holds_files(const std::string& path) {
  for (const auto& entry : fs::directory_iterator(path))
    if (!is_left_over(entry.path().filename().string())) return true;
  return false;
}

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

Json environment(const std::vector<std::string>& hosts, const Config& config) {
  const BuildInfo build = build_info();
  return {{"started", now_utc()},
          {"version", build.version},
          {"commit", build.commit},
          {"compiler", build.compiler},
          {"build_type", build.build_type},
          {"libraries", build.libraries},
          {"device", config.device},
          {"ranks", hosts.size()},
          {"hosts", hosts},
          {"cpu", cpu_model()},
          {"amx", cpu_gemm_uses_amx()},
          {"cpus", std::thread::hardware_concurrency()}};
}

// The jobs that have written here so far; a file that cannot be read starts anew.
Json earlier_jobs(const std::string& path) {
  std::ifstream file(path);
  const Json json = file ? Json::parse(file, nullptr, false) : Json();
  return json.is_object() && json.contains("jobs") && json["jobs"].is_array() ? json["jobs"] : Json::array();
}

}  // namespace

RunDirectory::RunDirectory(ProcessGroup& group, const std::string& path, bool resume)
    : group_(group), path_(path) {
  try {
    on_root(group_, [&] { open_and_lock(resume); });
    require_shared_directory(group_, path_);
  } catch (...) {
    remove_unstarted();  // no destructor runs for a constructor that throws
    throw;
  }
}

RunDirectory::~RunDirectory() { remove_unstarted(); }

void RunDirectory::remove_unstarted() {
  std::error_code ignored;
  if (made_lock_) fs::remove(path_ + "/.lock", ignored);
  for (auto directory = made_.rbegin(); directory != made_.rend(); ++directory)
    fs::remove(*directory, ignored);
  if (lock_fd_ >= 0) close(lock_fd_);  // lets go of the lock
}

void RunDirectory::open_and_lock(bool resume) {
  if (path_.empty()) throw UserError("the run directory has no name (--out DIR)");
  const bool exists = fs::exists(path_);
  if (exists && !fs::is_directory(path_)) throw UserError(str("run directory ", path_, " is a file"));
  if (resume && !fs::exists(config_path(path_)))
    throw UserError(
        str("run directory ", path_,
            " cannot be resumed: it has no config.yaml; start a run with: lime train CONFIG --out ", path_));
  if (!resume && exists && holds_files(path_)) {
    if (fs::exists(path_ + "/.lock")) lock();  // says so if a job is at work there
    throw UserError(str("run directory ", path_, " is not empty",
                        fs::exists(config_path(path_))
                            ? str(": go on with 'lime train --resume ", path_, "', or choose another --out")
                            : " and holds no run; choose another --out"));
  }
  make_directories();
  lock();
}

void RunDirectory::make_directories() {
  std::vector<fs::path> missing;
  for (fs::path p = fs::absolute(path_).lexically_normal(); !fs::exists(p); p = p.parent_path())
    if (p.has_filename()) missing.push_back(p);
  for (auto p = missing.rbegin(); p != missing.rend(); ++p) {
    std::error_code error;
    if (fs::create_directory(*p, error)) made_.push_back(p->string());
    if (error) throw UserError(str("run directory ", path_, " cannot be made: ", error.message()));
  }
}

void RunDirectory::lock() {
  const std::string path = path_ + "/.lock";
  made_lock_ = !fs::exists(path);
  lock_fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_fd_ < 0) throw UserError(str("run directory ", path_, " cannot be written: ", system_reason()));
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    const bool busy = errno == EWOULDBLOCK;
    const std::string reason = system_reason();
    made_lock_ = false;
    std::string holder;
    std::getline(std::ifstream(path), holder);
    throw UserError(
        busy ? str("run directory ", path_, " is in use by ", holder.empty() ? "another job" : holder)
             : str("run directory ", path_, " cannot be locked: ", reason));
  }
  const std::string holder = str("pid ", getpid(), " on host ", group_.host(), "\n");
  if (ftruncate(lock_fd_, 0) != 0 || pwrite(lock_fd_, holder.data(), holder.size(), 0) < 0)
    throw UserError(str(path, ": cannot be written: ", system_reason()));
}

void RunDirectory::start(const Config& config, const std::vector<std::string>& hosts) {
  on_root(group_, [&] {
    const std::string environment_path = path_ + "/environment.json";
    Json jobs = earlier_jobs(environment_path);
    jobs.push_back(environment(hosts, config));
    // First what makes it a run: killed in between, it can be resumed.
    write_file_atomically(config_path(path_),
                          "# Every key of this run, as it was resolved.\n" + to_yaml(config));
    write_file_atomically(environment_path, Json{{"jobs", jobs}}.dump(2) + "\n");
  });
  made_.clear();
  made_lock_ = false;
}

}  // namespace lime
