// runtime/cuda_device.h in a build without CUDA.
#include "runtime/cuda_device.h"

#include "runtime/error.h"

namespace lime::cuda {

std::string unavailable(int) { return "this build has no CUDA backend; use device=cpu"; }

namespace {
[[noreturn]] void refuse() { throw UserError(str("device 'cuda': ", unavailable(0))); }
}  // namespace

std::string identity(int) { refuse(); }
std::shared_ptr<void> allocate(int, size_t, Fill) { refuse(); }
std::shared_ptr<void> allocate_pinned(int, size_t) { refuse(); }

Stream::Stream(int index) : index_(index) { refuse(); }
Stream::~Stream() = default;
void Stream::activate() const { refuse(); }
void Stream::to_device(const void*, size_t, void*, size_t, Rows) { refuse(); }
void Stream::to_host(const void*, size_t, void*, size_t, Rows) { refuse(); }
void Stream::zero(void*, size_t, Rows) { refuse(); }
void Stream::copy(const void*, void*, size_t) { refuse(); }
void Stream::synchronize() { refuse(); }
void Stream::wait(const Event&) { refuse(); }

Event::Event(int index, Timed) : index_(index) { refuse(); }
Event::~Event() = default;
void Event::record(Stream&) { refuse(); }
void Event::synchronize() const { refuse(); }
bool Event::reached() const { refuse(); }
double Event::milliseconds_since(const Event&) const { refuse(); }

void throw_failure(const std::string&, int) { refuse(); }

}  // namespace lime::cuda
