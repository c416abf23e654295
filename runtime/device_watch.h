// What the host looks after while it waits. Work on a device may end only if other processes do their part
// (collectives), and they may be gone: a wait for a stream that such work is in, or ahead of, would be
// without end. So whoever starts such work has it watched, and each wait of the host for a device, and for
// messages of other processes, looks after it meanwhile.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace lime::cuda {

class Watched {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~Watched() = default;
  // Whether any of it is under way. `waits_since`: when the host began to wait. Throws Error if it failed, or
  // makes no end; then nothing of it is under way any more.
  virtual bool look(Clock::time_point waits_since) = 0;
  // Ends what is under way, whatever other processes do.
  virtual void abandon() noexcept = 0;
};

// As long as it lives, the waits of this thread, which starts all of it, look after it.
void watch(const std::shared_ptr<Watched>&);

// One look at all that this thread has to look after. Whether any of it is under way.
bool look_after_watched(Watched::Clock::time_point waits_since);

// Before a wait of the host that would not look: returns when `done()`, or when nothing is under way, so that
// the device alone ends the wait.
void wait_watchfully(const std::function<bool()>& done);

// The same where nothing may be thrown: memory goes, a stream ends. A failure is thrown by the thread's next
// wait. While an exception passes, what has not ended after a moment is abandoned: this process may be the
// one that does not do its part.
void settle_watched() noexcept;

}  // namespace lime::cuda
