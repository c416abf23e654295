// StopSignal: SIGTERM, SIGINT and SIGUSR1 ask the program to leave in good order: to finish its step and
// checkpoint, or to give up what keeps nothing midway. A second one ends it at once; on a terminal the first
// one says so. Of the three, mpirun passes SIGUSR1 alone on to its ranks; told by the others, it kills them.
#pragma once

#include <array>
#include <csignal>
#include <exception>
#include <string>
#include <utility>

#include "parallel/communicator.h"

namespace lime {

// Work was given up for a signal, and left nothing. Ends the program with 128 + the signal, as shells expect
// (launch/failure.h).
class Interrupted : public std::exception {
 public:
  explicit Interrupted(int signal);
  int signal() const { return signal_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  int signal_;
  std::string text_;  // "stopped by SIGINT; nothing was written"
};

// While it lives, these signals only set a flag; afterwards the earlier handlers are back. At most one
// at a time.
class StopSignal {
 public:
  // `what` is told on a terminal when the first signal comes: "stopping after this step".
  explicit StopSignal(const std::string& what = "stopping");
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The signal that came to this process, or 0. Ranks may be signalled at different moments: agree before
  // acting on it.
  int received() const;

  // Throws Interrupted if one came: for work of one process.
  void check() const;
  // Collective: the same on all ranks, where a signal came to any of them.
  void check(Communicator&) const;

  // What `work` returns. A failure after a signal is Interrupted, whatever it was: Ctrl-C ends programs that
  // read for this one as well.
  template <typename Work>
  auto given_up_for(Work&& work) const {
    try {
      return std::forward<Work>(work)();
    } catch (...) {
      check();
      throw;
    }
  }

 private:
  static constexpr std::array signals{SIGTERM, SIGINT, SIGUSR1};
  std::array<struct sigaction, signals.size()> old_;
};

}  // namespace lime
