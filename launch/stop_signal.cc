#include "launch/stop_signal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "runtime/error.h"

namespace lime {
namespace {

volatile std::sig_atomic_t received_signal = 0;
// What the handler says, made beforehand; nothing where no person reads it.
char said[200];
size_t said_length = 0;

void on_signal(int signal) {
  if (received_signal != 0) _exit(128 + signal);  // the second one: no more patience
  received_signal = signal;
  if (said_length > 0 && write(STDERR_FILENO, said, said_length) < 0) return;  // nobody to tell
}

const char* name_of(int signal) {
  return signal == SIGINT ? "SIGINT" : signal == SIGTERM ? "SIGTERM" : "SIGUSR1";
}

void refuse_signal(int signal) {
  if (signal != 0) throw Interrupted(signal);
}

}  // namespace

Interrupted::Interrupted(int signal)
    : signal_(signal), text_(str("stopped by ", name_of(signal), "; nothing was written")) {}

StopSignal::StopSignal(const std::string& what) {
  received_signal = 0;
  const int length =
      std::snprintf(said, sizeof said, "\nlime: %s; once more ends it at once\n", what.c_str());
  said_length = isatty(STDERR_FILENO) != 0 ? std::min(static_cast<size_t>(length), sizeof said - 1) : 0;
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

void StopSignal::check() const { refuse_signal(received()); }

void StopSignal::check(Communicator& comm) const {
  const int64_t mine = received();
  const auto all = all_gather_values(comm, std::span<const int64_t>(&mine, 1));
  refuse_signal(static_cast<int>(*std::max_element(all.begin(), all.end())));
}

}  // namespace lime
