// What the code tells AddressSanitizer: bytes that belong to nobody, in memory that is handed out in parts,
// and which stack runs. In a build without it nothing is done.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define LIME_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIME_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef LIME_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace lime::sanitizer {

#ifdef LIME_ADDRESS_SANITIZER
inline constexpr bool finds_addresses = true;
// From now on a touch of these bytes ends the process with a report ...
inline void forbid(const void* begin, size_t bytes) { ASAN_POISON_MEMORY_REGION(begin, bytes); }
// ... and no longer.
inline void allow(const void* begin, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(begin, bytes); }
#else
inline constexpr bool finds_addresses = false;
inline void forbid(const void*, size_t) {}
inline void allow(const void*, size_t) {}
#endif

struct Stack {
  const void* begin = nullptr;
  size_t bytes = 0;
};

// Lives where one fiber goes over to another, on the stack of the first: made before the jump, destroyed when
// control is back, `other` then being the stack that it came from.
class StackSwitch {
 public:
#ifdef LIME_ADDRESS_SANITIZER
  explicit StackSwitch(Stack& other) : other_(other) {
    __sanitizer_start_switch_fiber(&kept_, other.begin, other.bytes);
  }
  ~StackSwitch() { __sanitizer_finish_switch_fiber(kept_, &other_.begin, &other_.bytes); }
  // On a new stack: it came from `other`.
  static void begin(Stack& other) { __sanitizer_finish_switch_fiber(nullptr, &other.begin, &other.bytes); }
  // This stack ends, and `other` goes on.
  static void end(const Stack& other) { __sanitizer_start_switch_fiber(nullptr, other.begin, other.bytes); }
#else
  explicit StackSwitch(Stack& other) : other_(other) {}
  ~StackSwitch() { static_cast<void>(other_); }
  static void begin(Stack&) {}
  static void end(const Stack&) {}
#endif
  StackSwitch(const StackSwitch&) = delete;
  StackSwitch& operator=(const StackSwitch&) = delete;

 private:
  Stack& other_;
#ifdef LIME_ADDRESS_SANITIZER
  void* kept_ = nullptr;
#endif
};

}  // namespace lime::sanitizer
