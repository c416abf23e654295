#include "runtime/emulator/memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "runtime/error.h"
#include "runtime/sanitizer.h"

namespace lime::emulator {

namespace {

constexpr size_t page = 4096, alignment = 256, smallest_guard = 256;
constexpr size_t pool_bytes = size_t{4} << 40;  // addresses, not memory
// A NaN as bf16, f32 and f64, unlike the one that memory is filled with.
constexpr uint16_t guard_value = 0xfffb;
constexpr int fill_value = 0xff;

// A mapping is [guard | bytes | guard], page by page.
struct Allocation {
  size_t bytes;
  char *mapping, *mapping_end;
  char* begin() const { return mapping + smallest_guard; }
  char* end() const { return begin() + bytes; }
};

// Faults of host code get their explanation before the process ends as it would have.
const char *pool_begin = nullptr, *pool_end = nullptr;
struct sigaction previous_handler;

void explain_fault(int, siginfo_t* info, void*) {
  const auto* address = static_cast<const char*>(info->si_addr);
  if (address >= pool_begin && address < pool_end) {
    constexpr char text[] =
        "\nemulated device memory was touched by host code, after it was freed, or far outside an "
        "allocation\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof(text) - 1);
  }
  sigaction(SIGSEGV, &previous_handler, nullptr);  // the instruction faults again, in the earlier handler
}

class Pool {
 public:
  // Never destroyed: tensors with static storage may outlive it.
  static Pool& instance() {
    static Pool& pool = *new Pool;
    return pool;
  }

  void* allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const size_t size = (smallest_guard + bytes + smallest_guard + page - 1) / page * page;
    if (size > static_cast<size_t>(end_ - next_))
      throw Error(str("emulated device: out of addresses for ", bytes, " bytes"));
    const Allocation allocation{bytes, next_, next_ + size};
    if (mprotect(allocation.mapping, size, PROT_READ | PROT_WRITE) != 0)
      throw Error(str("emulated device: out of memory: ", bytes, " bytes wanted"));
    next_ += size;
    std::memset(allocation.begin(), fill_value, bytes);
    set_guards(allocation);
    if (depth_ == 0) protect(allocation, PROT_NONE);
    live_.emplace(allocation.begin(), allocation);
    return allocation.begin();
  }

  void release(void* memory) {
    const Access access;  // the guards are read
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(static_cast<char*>(memory));
    const Allocation allocation = found->second;
    if (const std::string damage = damage_of(allocation); !damage.empty()) {
      std::fprintf(stderr, "emulated device: %s, found when it was freed\n", damage.c_str());
      std::abort();
    }
    live_.erase(found);
    const auto size = static_cast<size_t>(allocation.mapping_end - allocation.mapping);
    madvise(allocation.mapping, size, MADV_DONTNEED);
    protect(allocation, PROT_NONE);
  }

  void open() {
    mutex_.lock();
    if (depth_++ == 0) protect_all(PROT_READ | PROT_WRITE);
  }
  void close() {
    if (--depth_ == 0) protect_all(PROT_NONE);
    mutex_.unlock();
  }

  void check_guards(const std::string& who) {
    const std::lock_guard lock(mutex_);
    for (auto& [begin, allocation] : live_) {
      const std::string damage = damage_of(allocation);
      if (damage.empty()) continue;
      set_guards(allocation);  // one report a fault
      throw Error(str(who, " wrote outside ", damage));
    }
  }

  Bytes find(const char* p) {
    const std::lock_guard lock(mutex_);
    const auto next = live_.upper_bound(const_cast<char*>(p));
    if (next == live_.begin()) return {};
    const Allocation& allocation = std::prev(next)->second;
    return p < allocation.end() ? Bytes{allocation.begin(), allocation.bytes} : Bytes{};
  }

  bool contains(const char* begin, size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto next = live_.upper_bound(const_cast<char*>(begin));
    if (next == live_.begin()) return false;
    const Allocation& allocation = std::prev(next)->second;
    return begin + bytes <= allocation.end();
  }

 private:
  Pool() {
    void* memory = mmap(nullptr, pool_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw Error("emulated device: no address space");
    next_ = static_cast<char*>(memory);
    end_ = next_ + pool_bytes;
    pool_begin = next_, pool_end = end_;
    struct sigaction action = {};
    action.sa_sigaction = explain_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &previous_handler);
  }

  static char guard_byte(const char* p) {
    return static_cast<char>(reinterpret_cast<uintptr_t>(p) % 2 == 0 ? guard_value & 0xff : guard_value >> 8);
  }
  static std::string damage_of(const Allocation& a) {
    allow_guards(a);
    const std::string damage = guards_damaged(a);
    forbid_guards(a);
    return damage;
  }
  static void allow_guards(const Allocation& a) {
    sanitizer::allow(a.mapping, smallest_guard);
    sanitizer::allow(a.end(), static_cast<size_t>(a.mapping_end - a.end()));
  }
  static void forbid_guards(const Allocation& a) {
    sanitizer::forbid(a.mapping, smallest_guard);
    sanitizer::forbid(a.end(), static_cast<size_t>(a.mapping_end - a.end()));
  }
  static std::string guards_damaged(const Allocation& a) {
    const auto damaged = [](const char* p) { return *p != guard_byte(p); };
    for (const char* p = a.mapping; p < a.begin(); ++p)
      if (damaged(p)) return str("an allocation of ", a.bytes, " bytes, ", a.begin() - p, " bytes before it");
    for (const char* p = a.end(); p < a.mapping_end; ++p)
      if (damaged(p)) return str("an allocation of ", a.bytes, " bytes, at byte ", p - a.begin());
    return {};
  }
  static void set_guards(const Allocation& a) {
    allow_guards(a);
    for (char* p = a.mapping; p < a.begin(); ++p) *p = guard_byte(p);
    for (char* p = a.end(); p < a.mapping_end; ++p) *p = guard_byte(p);
    forbid_guards(a);
  }
  static void protect(const Allocation& a, int protection) {
    if (mprotect(a.mapping, static_cast<size_t>(a.mapping_end - a.mapping), protection) != 0) std::abort();
  }
  void protect_all(int protection) {
    for (const auto& [begin, allocation] : live_) protect(allocation, protection);
  }

  std::recursive_mutex mutex_;
  int depth_ = 0;
  char *next_, *end_;
  std::map<char*, Allocation> live_;
};

}  // namespace

std::shared_ptr<void> allocate(size_t bytes) {
  return {Pool::instance().allocate(bytes), [](void* p) { Pool::instance().release(p); }};
}

void check_guards(const std::string& who) { Pool::instance().check_guards(who); }

bool is_device_memory(const void* begin, size_t bytes) {
  return Pool::instance().contains(static_cast<const char*>(begin), bytes);
}

Bytes device_addresses() {
  Pool::instance();  // has them
  return {pool_begin, pool_bytes};
}
Bytes allocation_of(const void* p) { return Pool::instance().find(static_cast<const char*>(p)); }

Access::Access() { Pool::instance().open(); }
Access::~Access() { Pool::instance().close(); }

}  // namespace lime::emulator
