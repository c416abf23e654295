#include "launch/compare/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "runtime/error.h"

namespace lime {
namespace {

// This program's variables without those that say which rank of which job it is.
std::vector<char*> outside_of_jobs(char** environment) {
  std::vector<char*> kept;
  for (char** variable = environment; *variable; ++variable) {
    bool of_job = false;
    for (const char* prefix : {"OMPI_COMM_WORLD_", "PMI_", "PMIX_"})
      of_job = of_job || std::strncmp(*variable, prefix, std::strlen(prefix)) == 0;
    if (!of_job) kept.push_back(*variable);
  }
  kept.push_back(nullptr);
  return kept;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& words, const std::string& log) {
  log_ = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  int failed = log_ < 0 ? errno : make_room();
  if (failed != 0) {
    if (log_ >= 0) close(log_);
    throw UserError(str(log, ": cannot be written: ", std::strerror(failed)));
  }
  std::vector<char*> arguments;
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> variables = outside_of_jobs(environ);
  const std::string failure = str("lime: error: ", words.at(0), " cannot be started\n");
  pid_ = fork();
  if (pid_ == 0) {  // nothing below allocates: another thread may have held the heap's lock
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    dup2(log_, STDOUT_FILENO);
    dup2(log_, STDERR_FILENO);
    execvpe(arguments[0], arguments.data(), variables.data());
    [[maybe_unused]] const auto written = write(STDERR_FILENO, failure.data(), failure.size());
    _exit(127);
  }
  failed = errno;
  if (pid_ < 0) {
    close(log_);
    throw Error(str("fork: ", std::strerror(failed)));
  }
  setpgid(pid_, pid_);  // whoever of the two is first
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      log_(std::exchange(other.log_, -1)),
      log_size_(other.log_size_),
      exit_code_(other.exit_code_) {}

ChildProcess::~ChildProcess() {
  if (pid_ >= 0 && !poll()) {
    kill();
    waitpid(pid_, nullptr, 0);
  }
  if (log_ >= 0) close(log_);
}

int ChildProcess::make_room() {
  constexpr off_t room = 16 << 10;
  struct stat log {};
  if (fstat(log_, &log) != 0) return errno;
  log_size_ = log.st_size;
  if (fallocate(log_, FALLOC_FL_KEEP_SIZE, log_size_, room) == 0) return 0;
  return errno == ENOSPC || errno == EDQUOT ? errno : 0;  // a file system that knows no such thing
}

void ChildProcess::ask_to_stop() const {
  if (pid_ > 0 && !exit_code_) ::kill(pid_, SIGUSR1);
}

void ChildProcess::kill() const {
  if (pid_ > 0 && !exit_code_) ::kill(-pid_, SIGKILL);
}

std::optional<int> ChildProcess::poll() {
  int status = 0;
  if (!exit_code_ && waitpid(pid_, &status, WNOHANG) == pid_)
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  struct stat log {};
  if (!exit_code_ && fstat(log_, &log) == 0 && log.st_size != log_size_) make_room();
  return exit_code_;
}

std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

}  // namespace lime
