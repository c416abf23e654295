#include "launch/compare/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
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
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) throw UserError(str(log, ": cannot be written: ", std::strerror(errno)));
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
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execvpe(arguments[0], arguments.data(), variables.data());
    [[maybe_unused]] const auto written = write(STDERR_FILENO, failure.data(), failure.size());
    _exit(127);
  }
  const int reason = errno;
  close(output);
  if (pid_ < 0) throw Error(str("fork: ", std::strerror(reason)));
  setpgid(pid_, pid_);  // whoever of the two is first
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), exit_code_(other.exit_code_) {}

ChildProcess::~ChildProcess() {
  if (pid_ < 0 || poll()) return;
  kill();
  waitpid(pid_, nullptr, 0);
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
  return exit_code_;
}

std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

}  // namespace lime
