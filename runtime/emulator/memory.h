// Device memory of the CUDA emulator: what a GPU would refuse or leave undefined fails here.
//
// * Host code cannot touch it: its pages are inaccessible but while a kernel or a copy runs (Access). A touch
// ends the
//   process with a line that says so, then SIGSEGV. Addresses are never used again, so freed memory is caught
//   too.
// * It holds NaNs when allocated (bytes 0xff).
// * Guard values stand before and after every allocation; check_guards() throws Error where one was
// overwritten.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace lime::emulator {

std::shared_ptr<void> allocate(
    size_t bytes);  // 256-byte aligned; its guards are checked again when it is freed
// Throws Error "WHO wrote outside ..." if any guard is damaged. Needs Access.
void check_guards(const std::string& who);
// Whether the bytes lie in one live allocation.
bool is_device_memory(const void* begin, size_t bytes);
// The addresses that allocations are of, now and later; and the allocation that holds one, {null, 0} where
// none does.
struct Bytes {
  const void* begin = nullptr;
  size_t size = 0;
};
Bytes device_addresses();
Bytes allocation_of(const void*);

// The device that is current in this thread (cuda_runtime.cc).
int active_device();
int device_of(const void*);  // whose memory this is, or -1

// Makes device memory accessible, to one thread's kernel or copy at a time. May be nested.
class Access {
 public:
  Access();
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
};

}  // namespace lime::emulator
