#include "runtime/emulator/race_check.h"

#include <link.h>

#include <algorithm>
#include <bit>
#include <map>
#include <utility>
#include <vector>

#include "runtime/emulator/memory.h"
#include "runtime/emulator/race_place.h"
#include "runtime/emulator/race_shadow.h"
#include "runtime/emulator/types.h"
#include "runtime/error.h"

namespace lime::emulator::race {

namespace {

using Place = std::source_location;
static_assert(sizeof(Place) == sizeof(void*),
              "a source_location is a pointer to what the compiler wrote down");

constexpr uint32_t warp_size = 32, most_threads = 1024;

struct Range {
  uintptr_t begin = 0, end = 0;
  bool holds(uintptr_t address) const { return address - begin < end - begin; }
};
Range range_of(const void* begin, size_t bytes) {
  return {reinterpret_cast<uintptr_t>(begin), reinterpret_cast<uintptr_t>(begin) + bytes};
}

enum class Memory { none, device, dynamic_shared, static_shared };
enum class Kind { read, write, atomic, asynchronous_read, copy };

// Memory of the program that kernels can write: static variables, as __shared__ ones are here.
std::vector<Range> writable_segments() {
  std::vector<Range> ranges;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* to) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
          if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) != 0)
            static_cast<std::vector<Range>*>(to)->push_back({begin, begin + segment.p_memsz});
        }
        return 0;
      },
      &ranges);
  return ranges;
}

// threadIdx and its like are static variables here, and registers on a GPU.
bool is_builtin(uintptr_t address) {
  return range_of(&threadIdx, sizeof(threadIdx)).holds(address) ||
         range_of(&blockIdx, sizeof(blockIdx)).holds(address) ||
         range_of(&blockDim, sizeof(blockDim)).holds(address) ||
         range_of(&gridDim, sizeof(gridDim)).holds(address);
}

class Checker {
 public:
  static Checker& instance() {
    static Checker& checker = *new Checker;
    return checker;
  }

  void begin_launch(const dim3& block) {
    threads_ = block;
    blocks_.clear();
    launch_began_ = next_epoch();
    const Bytes device = device_addresses();
    device_ = range_of(device.begin, device.size);
    segments_ = writable_segments();
    shadow_.begin_launch();
    found_.clear();
  }

  void begin_block(const uint3& index, const void* shared, size_t shared_bytes) {
    shared_ = range_of(shared, shared_bytes);
    order_block();
    block_began_ = epoch_;
    blocks_[epoch_] = index;
  }

  void order_block() {
    next_epoch();
    shadow_.begin_epoch();
  }

  void order_lanes(uint32_t first, uint32_t mask) {
    Lanes all{};
    for (uint32_t l = 0; l < warp_size; ++l) {
      if ((mask >> l & 1) == 0) continue;
      for (uint32_t i = 0; i < warp_size; ++i) all[i] = std::max(all[i], known_[first + l][i]);
    }
    for (uint32_t l = 0; l < warp_size; ++l) {
      if ((mask >> l & 1) == 0) continue;
      known_[first + l] = all;
      ++known_[first + l][l];
    }
  }

  void run_as(uint32_t thread, Range stack) { thread_ = thread, stack_ = stack; }
  uint32_t thread() const { return thread_; }
  std::string take() { return std::exchange(found_, {}); }

  // Of the running thread, by an instruction.
  void touch(Kind kind, uintptr_t p, size_t bytes, uintptr_t instruction) {
    if (stack_.holds(p)) return;
    access(kind, p, bytes, {.site = instruction, .thread = thread_}, epoch_, known_[thread_]);
  }
  // Of a lane of its warp, by the emulator.
  void note(Kind kind, uint32_t thread, const void* p, size_t bytes, Place place) {
    access(kind, reinterpret_cast<uintptr_t>(p), bytes, located(thread, place), epoch_, known_[thread]);
  }

  Moment now() {
    const Moment moment{epoch_, known_[thread_]};
    ++known_[thread_][thread_ % warp_size];  // what the thread does from now on is not before that
    return moment;
  }

  void end_read(const Moment& start, const void* p, size_t bytes, Place place) {
    access(Kind::asynchronous_read, reinterpret_cast<uintptr_t>(p), bytes, located(thread_, place),
           start.epoch, start.of_lane);
    note(Kind::read, thread_, p, bytes, place);
  }

  void end_copy(const void* to, size_t bytes, Place place) {
    Access me = located(thread_, place);
    stamp(me);
    shadow_.finish_write(reinterpret_cast<uintptr_t>(to), bytes, me);
  }

  bool is_atomic = false;

 private:
  uint32_t next_epoch() {
    if (++epoch_ == 0) throw Error("race checker: too many barriers in one process");
    return epoch_;
  }

  static Access located(uint32_t thread, Place place) {
    return {.site = std::bit_cast<uintptr_t>(place), .thread = thread, .located = 1};
  }
  void stamp(Access& a) const {
    a.epoch = epoch_;
    a.clock = known_[a.thread][a.thread % warp_size];
  }

  Memory memory_of(uintptr_t p) const {
    if (device_.holds(p)) return Memory::device;
    if (shared_.holds(p)) return Memory::dynamic_shared;
    for (const Range& segment : segments_)
      if (segment.holds(p)) return is_builtin(p) ? Memory::none : Memory::static_shared;
    return Memory::none;  // what kernels are given as arguments, and what their own frames hold
  }

  void access(Kind kind, uintptr_t p, size_t bytes, Access me, uint32_t epoch, const Lanes& known) {
    const Memory memory = memory_of(p);
    if (memory == Memory::none || !found_.empty()) return;
    stamp(me);
    const Order order{memory == Memory::device ? launch_began_ : block_began_, block_began_,
                      static_cast<uint32_t>(me.thread), epoch, known.data()};
    Shadow::Found found;
    switch (kind) {
      case Kind::read:
        found = shadow_.read(p, bytes, me, order);
        break;
      case Kind::write:
        found = shadow_.write(p, bytes, me, order);
        break;
      case Kind::atomic:
        found = shadow_.atomic(p, bytes, me, order);
        break;
      case Kind::asynchronous_read:
        found = shadow_.was_written(p, bytes, order);
        break;
      case Kind::copy:
        me.pending = 1;
        found = shadow_.write(p, bytes, me, order);
        break;
    }
    if (found) found_ = describe(kind, bytes, me, memory, *found);
  }

  std::string text(uint64_t thread) const {
    const auto t = static_cast<uint32_t>(thread);
    return str("thread (", t % threads_.x, ",", t / threads_.x % threads_.y, ",", t / threads_.x / threads_.y,
               ")");
  }
  static std::string place(const Access& a) {
    if (!a.located) return place_of(a.site - 1);  // the call before
    const auto at = std::bit_cast<Place>(static_cast<uintptr_t>(a.site));
    const std::string file = at.file_name();
    return str(file.substr(file.rfind('/') + 1), ":", at.line());
  }
  std::string text(Memory memory, uintptr_t byte) const {
    if (memory == Memory::dynamic_shared)
      return str("byte ", byte - shared_.begin, " of dynamic shared memory");
    if (memory == Memory::static_shared) return str("static shared memory at ", offset_in_program(byte));
    const auto [begin, bytes] = allocation_of(reinterpret_cast<const void*>(byte));
    return str("byte ", byte - reinterpret_cast<uintptr_t>(begin), " of ", bytes, " bytes of device memory");
  }

  std::string describe(Kind kind, size_t bytes, const Access& me, Memory memory, const Conflict& c) const {
    const Access& before = c.before;
    std::string who = text(before.thread);
    if (before.epoch < block_began_) {
      const uint3& block = std::prev(blocks_.upper_bound(before.epoch))->second;
      who += str(" of block (", block.x, ",", block.y, ",", block.z, ")");
    }
    const bool wrote = c.wrote, writes = kind == Kind::write || kind == Kind::copy;
    const char* const name = kind == Kind::atomic && wrote     ? "atomic access after write"
                             : kind == Kind::atomic            ? "atomic access after read"
                             : kind == Kind::asynchronous_read ? "write before an asynchronous read has ended"
                             : !wrote                          ? "write after read"
                             : writes                          ? "write after write"
                                                               : "read after write";
    return str(text(me.thread), ", ", place(me), ": a race, ", name, ": ", bytes, " bytes of which ", who,
               before.pending ? " is copying to "
               : wrote        ? " wrote "
                              : " read ",
               text(memory, c.byte), before.pending ? ", not waited for since " : " at ", place(before));
  }

  dim3 threads_;
  std::map<uint32_t, uint3> blocks_;  // of the launch, by the epoch that began with them
  uint32_t epoch_ = 0, launch_began_ = 0, block_began_ = 0;
  std::vector<Lanes> known_{most_threads};  // by each thread, of its warp
  Range device_, shared_, stack_;
  std::vector<Range> segments_;
  Shadow shadow_;
  uint32_t thread_ = 0;
  std::string found_;
};

// The checker, on the thread of the host that runs a kernel, and while it does.
thread_local Checker* running = nullptr;

}  // namespace

void begin_launch(const dim3& block) { Checker::instance().begin_launch(block); }
void begin_block(const uint3& index, const void* shared, size_t shared_bytes) {
  Checker::instance().begin_block(index, shared, shared_bytes);
}
void resume(uint32_t thread, const void* stack, size_t stack_bytes) {
  running = &Checker::instance();
  running->run_as(thread, range_of(stack, stack_bytes));
}
void pause() { running = nullptr; }
void order_block() { Checker::instance().order_block(); }
void order_lanes(uint32_t first_thread, uint32_t mask) {
  Checker::instance().order_lanes(first_thread, mask);
}
std::string take() { return Checker::instance().take(); }

void note_read(const void* p, size_t bytes, Place place) {
  Checker& checker = Checker::instance();
  checker.note(Kind::read, checker.thread(), p, bytes, place);
}
void note_write(const void* p, size_t bytes, Place place) {
  Checker& checker = Checker::instance();
  checker.note(Kind::write, checker.thread(), p, bytes, place);
}
void note_read_of(uint32_t lane, const void* p, size_t bytes, Place place) {
  Checker& checker = Checker::instance();
  checker.note(Kind::read, checker.thread() / warp_size * warp_size + lane, p, bytes, place);
}
void note_write_of(uint32_t lane, const void* p, size_t bytes, Place place) {
  Checker& checker = Checker::instance();
  checker.note(Kind::write, checker.thread() / warp_size * warp_size + lane, p, bytes, place);
}
Moment now() { return Checker::instance().now(); }
void end_read(const Moment& start, const void* p, size_t bytes, Place place) {
  Checker::instance().end_read(start, p, bytes, place);
}
void begin_copy(const void* to, size_t bytes, Place place) {
  Checker& checker = Checker::instance();
  checker.note(Kind::copy, checker.thread(), to, bytes, place);
}
void end_copy(const void* to, size_t bytes, Place place) { Checker::instance().end_copy(to, bytes, place); }

Atomic::Atomic() {
  if (running) running->is_atomic = true;
}
Atomic::~Atomic() {
  if (running) running->is_atomic = false;
}
Pause::Pause() : running_(std::exchange(running, nullptr)) {}
Pause::~Pause() { running = static_cast<Checker*>(running_); }

}  // namespace lime::emulator::race

// --- what the compiler calls
// -----------------------------------------------------------------------------------------

namespace {

using lime::emulator::race::Kind;
using lime::emulator::race::running;

inline void touch(bool write, const volatile void* p, size_t bytes, void* instruction) {
  auto* const checker = running;
  if (!checker) return;
  const Kind kind = checker->is_atomic ? Kind::atomic : write ? Kind::write : Kind::read;
  checker->touch(kind, reinterpret_cast<uintptr_t>(p), bytes, reinterpret_cast<uintptr_t>(instruction));
}

}  // namespace

#define LIME_TOUCH(name, write, bytes) \
  void name(void* p) { touch(write, p, bytes, __builtin_return_address(0)); }
#define LIME_TOUCHES(bytes)                              \
  LIME_TOUCH(__tsan_read##bytes, false, bytes)           \
  LIME_TOUCH(__tsan_write##bytes, true, bytes)           \
  LIME_TOUCH(__tsan_unaligned_read##bytes, false, bytes) \
  LIME_TOUCH(__tsan_unaligned_write##bytes, true, bytes) \
  LIME_TOUCH(__tsan_volatile_read##bytes, false, bytes)  \
  LIME_TOUCH(__tsan_volatile_write##bytes, true, bytes)

// Host code that is compiled with kernels has atomics, too (shared_ptr).
#define LIME_ATOMICS(bits)                                                                                 \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t* p, int) {                       \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                           \
  }                                                                                                        \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t* p, uint##bits##_t v, int) {                    \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                              \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t* p, uint##bits##_t v, int) {       \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t* p, uint##bits##_t v, int) {      \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_fetch_sub(volatile uint##bits##_t* p, uint##bits##_t v, int) {      \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_fetch_and(volatile uint##bits##_t* p, uint##bits##_t v, int) {      \
    return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_fetch_or(volatile uint##bits##_t* p, uint##bits##_t v, int) {       \
    return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_fetch_xor(volatile uint##bits##_t* p, uint##bits##_t v, int) {      \
    return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                        \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile uint##bits##_t* p, uint##bits##_t* expected, \
                                                     uint##bits##_t v, int, int) {                         \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);         \
  }                                                                                                        \
  bool __tsan_atomic##bits##_compare_exchange_weak(volatile uint##bits##_t* p, uint##bits##_t* expected,   \
                                                   uint##bits##_t v, int, int) {                           \
    return __atomic_compare_exchange_n(p, expected, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);          \
  }

extern "C" {
LIME_TOUCHES(1)
LIME_TOUCHES(2)
LIME_TOUCHES(4)
LIME_TOUCHES(8)
LIME_TOUCHES(16)
void __tsan_read_range(void* p, size_t bytes) { touch(false, p, bytes, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t bytes) { touch(true, p, bytes, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
LIME_ATOMICS(8)
LIME_ATOMICS(16)
LIME_ATOMICS(32)
LIME_ATOMICS(64)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
}

#undef LIME_ATOMICS
#undef LIME_TOUCHES
#undef LIME_TOUCH
