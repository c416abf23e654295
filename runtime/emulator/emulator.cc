#include "runtime/emulator/emulator.h"

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <cmath>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <vector>

#include "runtime/emulator/cuda_runtime.h"
#include "runtime/emulator/memory.h"
#include "runtime/emulator/pending.h"
#include "runtime/emulator/race_check.h"
#include "runtime/emulator/work.h"
#include "runtime/error.h"
#include "runtime/philox.h"
#include "runtime/sanitizer.h"

namespace lime::emulator {

namespace {

using boost::context::fiber;
using sanitizer::StackSwitch;

constexpr size_t stack_bytes = (sanitizer::finds_addresses ? 512 : 128) * 1024;
constexpr uint32_t warp_size = 32, warpgroup_size = 128, most_threads = 1024, most_blocks_yz = 65535;
constexpr size_t shared_guard = 1024, shared_alignment = 1024;
constexpr char shared_guard_byte = 0x7b;

// 0 .. n-1 in an order given by a seed: i -> (a i + b) mod n, with a and n relatively prime.
class Order {
 public:
  Order(uint64_t n, uint64_t seed) : n_(n), a_(mix64(seed) % n), b_(mix64(seed + 1) % n) {
    while (std::gcd(a_, n_) != 1) a_ = (a_ + 1) % n_;
  }
  uint64_t operator()(uint64_t i) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(a_) * i + b_) % n_);
  }

 private:
  uint64_t n_, a_, b_;
};

// Last in a fiber: it goes back to the scheduler for good.
struct Leaving {
  explicit Leaving(const sanitizer::Stack& scheduler) : scheduler_stack(scheduler) {}
  ~Leaving() { StackSwitch::end(scheduler_stack); }
  const sanitizer::Stack& scheduler_stack;
};

struct Thread {
  enum class State { ready, at_barrier, in_warp_operation, returned };
  uint3 index;
  State state = State::ready;
  Place place;
  uint32_t mask = 0;
  void* arguments = nullptr;
  WarpOperation operation = nullptr;
  Pending pending;
  std::exception_ptr error;
  fiber here, scheduler;  // the one that does not run now
  sanitizer::Stack stack;
};

bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string text(const Place& place) {
  const std::string file = place.file_name();
  return str(file.substr(file.rfind('/') + 1), ":", place.line());
}

std::string text(const uint3& i) { return str("(", i.x, ",", i.y, ",", i.z, ")"); }

class Machine {
 public:
  static Machine& instance() {
    static Machine machine;
    return machine;
  }
  ~Machine() { end_fibers(); }

  void run(const Launch& launch, const std::function<void()>& body) {
    const Access access;
    const std::lock_guard lock(mutex_);
    launch_ = &launch;
    body_ = &body;
    blockDim = launch.block;
    gridDim = launch.grid;
    prepare(launch);
    race::begin_launch(launch.block);
    const uint64_t seed = 4 * ++launches_;
    const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
    const Order block_order(blocks, seed), thread_order(count_, seed + 2);
    try {
      for (uint64_t b = 0; b < blocks; ++b) {
        const uint64_t block = block_order(b);
        const uint64_t plane = uint64_t{launch.grid.x} * launch.grid.y;
        blockIdx = {static_cast<uint32_t>(block % launch.grid.x),
                    static_cast<uint32_t>(block % plane / launch.grid.x),
                    static_cast<uint32_t>(block / plane)};
        race::begin_block(blockIdx, shared(), shared_bytes_);
        run_block(thread_order);
      }
    } catch (...) {
      end_fibers();
      throw;
    }
    check_guards(str("kernel '", launch.kernel, "'"));
  }

  void block_barrier(Place place) {
    Thread& me = *current_;
    for (uint32_t t = 0; t < count_; ++t) {
      const Thread& other = threads_[t];
      if (other.state == Thread::State::at_barrier && !same(other.place, place))
        fault(str("waits at a barrier while thread ", text(other.index), " waits at another, ",
                  text(other.place)),
              place);
    }
    if (++at_barrier_ == count_) {
      at_barrier_ = 0;
      for (uint32_t t = 0; t < count_; ++t) threads_[t].state = Thread::State::ready;
      race::order_block();
      return;
    }
    wait(me, Thread::State::at_barrier, place);
  }

  void warp_operation(uint32_t mask, void* arguments, WarpOperation operation, Place place) {
    Thread& me = *current_;
    const uint32_t mine = static_cast<uint32_t>(&me - threads_.data()), first = mine / warp_size * warp_size;
    const uint32_t lanes = std::min(warp_size, count_ - first);
    if (lanes < warp_size) mask &= (1u << lanes) - 1;
    if ((mask >> (mine - first) & 1) == 0) fault("is not in the mask of its own warp operation", place);
    me.mask = mask, me.arguments = arguments, me.operation = operation, me.place = place;
    me.state = Thread::State::in_warp_operation;
    void* all[warp_size] = {};
    for (uint32_t l = 0; l < lanes; ++l) {
      if ((mask >> l & 1) == 0) continue;
      const Thread& other = threads_[first + l];
      if (other.state == Thread::State::in_warp_operation &&
          (other.mask != mask || other.operation != operation || !same(other.place, place)))
        fault(str("waits in a warp operation for lane ", l, ", which is in another, ", text(other.place)),
              place);
      if (other.state != Thread::State::in_warp_operation) return wait(me, me.state, place);
      all[l] = other.arguments;
    }
    {
      const race::Pause pause;  // what it does to memory, it notes itself
      operation(all);
    }
    for (uint32_t l = 0; l < lanes; ++l)
      if (mask >> l & 1) threads_[first + l].state = Thread::State::ready;
  }

  void check_stores(uintptr_t operand, size_t bytes, Place place) {
    for (uint32_t t = 0; t < count_; ++t)
      for (const auto& [stored, size] : threads_[t].pending.unfenced)
        if (stored < operand + bytes && operand < stored + size)
          fault(str("a product of what thread ", text(threads_[t].index), " has stored and not fenced"),
                place);
  }

  void order_lanes() {
    race::order_lanes(static_cast<uint32_t>(current_ - threads_.data()) / warp_size * warp_size,
                      current_->mask);
  }

  uint32_t lane() const { return static_cast<uint32_t>(current_ - threads_.data()) % warp_size; }
  char* shared() { return shared_.data() + shared_offset_; }
  Thread& current() { return *current_; }

  [[noreturn]] void fault(const std::string& what, Place place) {
    throw Error(str("kernel '", launch_->kernel, "', block ", text(blockIdx), ", thread ",
                    text(current_->index), ", ", text(place), ": ", what));
  }

  static void check(const Launch& l) {
    const uint64_t threads = uint64_t{l.block.x} * l.block.y * l.block.z;
    LIME_CHECK(threads > 0 && threads <= most_threads && l.block.z <= 64, "kernel '", l.kernel,
               "': blocks of ", l.block.x, "x", l.block.y, "x", l.block.z, " threads");
    LIME_CHECK(l.grid.x > 0 && l.grid.x <= 0x7fffffffu && l.grid.y > 0 && l.grid.y <= most_blocks_yz &&
                   l.grid.z > 0 && l.grid.z <= most_blocks_yz,
               "kernel '", l.kernel, "': a grid of ", l.grid.x, "x", l.grid.y, "x", l.grid.z, " blocks");
    LIME_CHECK(l.shared_bytes <= most_shared_bytes, "kernel '", l.kernel, "': ", l.shared_bytes,
               " bytes of shared memory");
  }

 private:
  void prepare(const Launch& launch) {
    count_ = launch.block.x * launch.block.y * launch.block.z;
    threads_.reserve(most_threads);  // fibers point at theirs
    while (threads_.size() < count_) {
      threads_.emplace_back();
      start(threads_.back());
    }
    for (uint32_t t = 0; t < count_; ++t) {
      const dim3& b = launch.block;
      threads_[t].index = {t % b.x, t / b.x % b.y, t / b.x / b.y};
    }
    shared_bytes_ = launch.shared_bytes;
    sanitizer::allow(shared_.data(), shared_.size());
    shared_.assign(shared_bytes_ + 2 * shared_guard + shared_alignment, shared_guard_byte);
    const size_t beyond = reinterpret_cast<uintptr_t>(shared_.data() + shared_guard) % shared_alignment;
    shared_offset_ = shared_guard + (shared_alignment - beyond) % shared_alignment;
    forbid_around_shared();
  }

  void forbid_around_shared() {
    const size_t end = shared_offset_ + shared_bytes_;
    sanitizer::forbid(shared_.data(), shared_offset_);
    sanitizer::forbid(shared_.data() + end, shared_.size() - end);
  }

  // A fiber runs one thread after the other, for all blocks and launches.
  void start(Thread& thread) {
    boost::context::fixedsize_stack stacks(stack_bytes);
    const auto stack = stacks.allocate();
    thread.stack = {static_cast<char*>(stack.sp) - stack.size, stack.size};
    thread.here = fiber(std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), stacks,
                        [this, &thread](fiber&& scheduler) {
                          StackSwitch::begin(scheduler_stack_);
                          const Leaving leaving(scheduler_stack_);
                          thread.scheduler = std::move(scheduler);
                          for (;;) {
                            {
                              const StackSwitch to(scheduler_stack_);
                              thread.scheduler = std::move(thread.scheduler).resume();
                            }
                            try {
                              (*body_)();
                            } catch (const boost::context::detail::forced_unwind&) {
                              throw;  // the launch has failed elsewhere
                            } catch (...) {
                              thread.error = std::current_exception();
                            }
                            thread.state = Thread::State::returned;
                          }
                          return std::move(thread.scheduler);  // never
                        });
    go_on(thread);  // up to its first turn
  }

  static void go_on(Thread& thread) {
    const StackSwitch to(thread.stack);
    thread.here = std::move(thread.here).resume();
  }

  // Unwinds those that wait.
  void end_fibers() {
    for (Thread& thread : threads_) {
      const StackSwitch to(thread.stack);
      thread.here = fiber();
    }
    threads_.clear();
  }

  void run_block(const Order& order) {
    std::memset(shared(), 0xff, shared_bytes_);
    at_barrier_ = 0;
    for (uint32_t t = 0; t < count_; ++t) {
      threads_[t].state = Thread::State::ready;
      threads_[t].pending.forget();
    }
    uint32_t returned = 0;
    const auto turn = [&](uint32_t t) {
      Thread& thread = threads_[t];
      if (thread.state != Thread::State::ready) return false;
      current_ = &thread;
      threadIdx = thread.index;
      race::resume(t, thread.stack.begin, thread.stack.bytes);
      go_on(thread);
      race::pause();
      if (thread.error) std::rethrow_exception(std::exchange(thread.error, nullptr));
      if (const std::string found = race::take(); !found.empty())
        throw Error(str("kernel '", launch_->kernel, "', block ", text(blockIdx), ", ", found));
      returned += thread.state == Thread::State::returned;
      return true;
    };
    while (returned < count_) {
      bool progress = false;
      for (uint32_t k = 0; k < count_; ++k) {
        const auto t = static_cast<uint32_t>(order(k));
        progress |= turn(t);
        if (launches_ % 2 == 0) continue;  // all warps side by side
        // A warp goes on until it waits for others: it may be a barrier ahead of them.
        const uint32_t first = t / warp_size * warp_size, lanes = std::min(warp_size, count_ - first);
        for (bool ran = true; ran;) {
          ran = false;
          for (uint32_t l = 0; l < lanes; ++l) ran |= turn(first + (t + l) % lanes);
        }
      }
      if (!progress) report_deadlock();
    }
    check_shared();
    check_products();
  }

  void wait(Thread& me, Thread::State state, Place place) {
    me.state = state;
    me.place = place;
    const StackSwitch to(scheduler_stack_);
    me.scheduler = std::move(me.scheduler).resume();
  }

  [[noreturn]] void report_deadlock() {
    std::map<std::string, int> threads_by_place;
    for (uint32_t t = 0; t < count_; ++t) {
      const Thread& thread = threads_[t];
      ++threads_by_place[thread.state == Thread::State::returned ? std::string("have returned")
                         : thread.state == Thread::State::at_barrier
                             ? str("wait at the barrier of ", text(thread.place))
                             : str("wait in the warp operation of ", text(thread.place))];
    }
    std::string places;
    for (const auto& [place, threads] : threads_by_place)
      places += str(places.empty() ? "" : ", ", threads, " ", place);
    throw Error(str("kernel '", launch_->kernel, "', block ", text(blockIdx),
                    ": its threads wait for each other: ", places));
  }

  void check_shared() {
    sanitizer::allow(shared_.data(), shared_.size());
    const auto damaged = [&](size_t i) { return shared_[i] != shared_guard_byte; };
    for (size_t i = 0; i < shared_.size(); ++i) {
      if (i == shared_offset_) i += shared_bytes_;
      if (damaged(i))
        throw Error(str("kernel '", launch_->kernel, "', block ", text(blockIdx), ": wrote at byte ",
                        static_cast<int64_t>(i) - static_cast<int64_t>(shared_offset_), " of ", shared_bytes_,
                        " bytes of dynamic shared memory"));
    }
    forbid_around_shared();
  }

  // A product is one of all warps of a warpgroup.
  void check_products() const {
    for (uint32_t t = 0; t < count_; ++t) {
      const uint32_t first = t / warpgroup_size * warpgroup_size, mine = threads_[t].pending.products,
                     others = threads_[first].pending.products;
      if (mine != others || (mine > 0 && first + warpgroup_size > count_))
        throw Error(str("kernel '", launch_->kernel, "', block ", text(blockIdx), ": thread ",
                        text(threads_[t].index), " has issued ", mine,
                        " products, and not all of its warpgroup as many: thread ",
                        text(threads_[first].index), " has issued ", others));
    }
  }

  std::mutex mutex_;
  uint64_t launches_ = 0;
  const Launch* launch_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  std::vector<Thread> threads_;  // those of the largest block so far
  uint32_t count_ = 0, at_barrier_ = 0;
  Thread* current_ = nullptr;
  sanitizer::Stack scheduler_stack_;  // of whoever launches
  std::vector<char> shared_;
  size_t shared_bytes_ = 0, shared_offset_ = 0;
};

}  // namespace

void launch(Launch launch, std::function<void()> thread) {
  Machine::check(launch);
  void* const stream = launch.stream_handle;
  if (may_launch(static_cast<cudaStream_t>(stream), "a launch", launch.function, launch.shared_bytes) !=
      cudaSuccess)
    return;
  give(stream,
       [launch = std::move(launch), thread = std::move(thread)] { Machine::instance().run(launch, thread); });
}
void block_barrier(Place place) { Machine::instance().block_barrier(place); }
void warp_operation(uint32_t mask, void* arguments, WarpOperation operation, Place place) {
  Machine::instance().warp_operation(mask, arguments, operation, place);
}
void warp_barrier(uint32_t mask, Place place) {
  warp_operation(
      mask, nullptr, [](void* const*) { Machine::instance().order_lanes(); }, place);
}
uint32_t lane() { return Machine::instance().lane(); }
void* dynamic_shared() { return Machine::instance().shared(); }
void fault(const std::string& what, Place place) { Machine::instance().fault(what, place); }
void check_stores(uintptr_t operand, size_t bytes, Place place) {
  Machine::instance().check_stores(operand, bytes, place);
}
Pending& pending() { return Machine::instance().current().pending; }

}  // namespace lime::emulator
