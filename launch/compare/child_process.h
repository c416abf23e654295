// A program started beside this one, its output in a file.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace lime {

class ChildProcess {
 public:
  // Starts words[0] (found on PATH), with nothing on its standard input and both outputs appended to `log`.
  // It is a process group of its own, so that Ctrl-C reaches this program alone, which passes it on as it
  // sees fit; it is asked to stop should this program be killed. Variables of an MPI job that this
  // program may be part of are not passed on. A program that cannot be started exits with 127, its reason in
  // the log. Throws UserError where the log cannot be written. The log has room on the disk beyond its end,
  // as long as poll() is called: a program that fails because the disk is full can still say so.
  ChildProcess(const std::vector<std::string>& words, const std::string& log);
  // Kills what is still running.
  ~ChildProcess();
  ChildProcess(ChildProcess&&) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  void ask_to_stop() const;  // SIGUSR1, which launchers pass on to their ranks (launch/stop_signal.h)
  void kill() const;         // SIGKILL, to the whole group

  // Its exit code once it has ended, 128 + the signal where one ended it; does not wait.
  std::optional<int> poll();

 private:
  int make_room();  // in the log; 0, or errno

  pid_t pid_ = -1;
  int log_ = -1;
  int64_t log_size_ = 0;  // when room was last made
  std::optional<int> exit_code_;
};

// The path of this program, to start it again.
std::string this_program();

}  // namespace lime
