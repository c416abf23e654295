// StopSignal: SIGTERM and SIGINT ask the program to finish its step, checkpoint and leave. A second one ends
// it at once.
#pragma once

#include <csignal>

namespace lime {

// While it lives, SIGTERM and SIGINT only set a flag; afterwards the earlier handlers are back. At most one
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
  struct sigaction old_term_, old_int_;
};

}  // namespace lime
