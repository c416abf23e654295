// How a job ends when something fails: one line on stderr for one cause, on whatever number of ranks, and no
// rank hangs.
#pragma once

#include <memory>

#include "parallel/process_group.h"

namespace lime {

class FailureReporter {
 public:
  // Collective, at the start: keeps a communicator of its own, on which nothing else is ever sent.
  explicit FailureReporter(ProcessGroup&);

  // Prints "lime: error: MESSAGE" and returns the exit code: 2 for a UserError, 1 (with the rank) for
  // anything else. Interrupted is no error: "lime: stopped by SIGINT; nothing was written", and 128 + the
  // signal. If all ranks fail within two seconds each different message is printed once, by the lowest
  // rank that has it, and all return: the job ends in good order. Otherwise some rank is not failing, and
  // perhaps waits for this one: takes the job down.
  int report(const std::exception&);

 private:
  ProcessGroup& group_;
  std::unique_ptr<Communicator> failures_;
};

}  // namespace lime
