#include "launch/stop_signal.h"

#include <unistd.h>

namespace lime {
namespace {

volatile std::sig_atomic_t received_signal = 0;
bool to_a_person = false;  // whether one reads what is said

void on_signal(int signal) {
  if (received_signal != 0) _exit(128 + signal);  // the second one: no more patience
  received_signal = signal;
  constexpr char said[] = "\nlime: stopping after this step or evaluation; once more ends it at once\n";
  if (to_a_person && write(STDERR_FILENO, said, sizeof said - 1) < 0) return;  // nobody to tell
}

}  // namespace

StopSignal::StopSignal() {
  received_signal = 0;
  to_a_person = isatty(STDERR_FILENO) != 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &action, &old_[i]);
}

StopSignal::~StopSignal() {
  for (size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &old_[i], nullptr);
}

int StopSignal::received() const { return received_signal; }

}  // namespace lime
