// StopSignal: SIGTERM, SIGINT and SIGUSR1 ask the program to finish its step, checkpoint and leave. A second
// one ends it at once; on a terminal the first one says so. Of the three, mpirun passes SIGUSR1 alone on to
// its ranks; told by the others, it kills them.
#pragma once

#include <array>
#include <csignal>

namespace lime {

// While it lives, these signals only set a flag; afterwards the earlier handlers are back. At most one
// at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The signal that came to this process, or 0. Ranks may be signalled at different moments: agree
  // (all-reduce max) before acting on it.
  int received() const;

 private:
  static constexpr std::array signals{SIGTERM, SIGINT, SIGUSR1};
  std::array<struct sigaction, signals.size()> old_;
};

}  // namespace lime
