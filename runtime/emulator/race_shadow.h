// What was last done to each byte of memory, and which of it a new access races with. Internal to the race
// checker (runtime/emulator/race_check.h).
//
// A byte keeps its last write and the reads since then that a later write may race with: the last one, those
// of other lanes beside it, and one of another warp or block. That is enough: whoever is ordered after a read
// is ordered after what the read was ordered after, and two unordered reads of different warps leave no
// thread that is ordered after both, until a barrier orders all. Atomics are kept apart, all of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtime/emulator/race_check.h"

namespace lime::emulator::race {

struct Access {
  uint64_t site : 48 = 0;  // an instruction's address behind the access, or what a source_location points to
  uint64_t thread : 10 = 0;  // in its block
  uint64_t located : 1 = 0;  // by a source_location
  uint64_t pending : 1 = 0;  // a write that may happen at any time
  uint32_t epoch = 0;        // barriers of blocks and beginnings of blocks and launches so far; 0: no access
  uint32_t clock = 0;        // of the thread

  bool operator==(const Access&) const = default;
};

// How an access stands to those before it.
struct Order {
  uint32_t since;        // what happened in earlier epochs is over
  uint32_t block_began;  // what happened between is another block's
  uint32_t thread;
  uint32_t epoch;
  const uint32_t* of_lane;  // what the thread knows of its warp

  bool is_before(const Access& a) const {
    if (a.epoch < since) return true;
    if (a.epoch < block_began) return false;
    if (a.epoch != epoch) return a.epoch < epoch;
    return a.thread / 32 == thread / 32 && a.clock <= of_lane[a.thread % 32];
  }
};

struct Conflict {
  Access before;
  bool wrote;  // that one
  uintptr_t byte;
};

class Shadow {
 public:
  // What the accesses of the launch before left is forgotten.
  void begin_launch();
  // No two reads are in one epoch of a block any more.
  void begin_epoch() { sets_used_ = 0; }

  using Found = std::optional<Conflict>;
  Found read(uintptr_t begin, size_t bytes, const Access&, const Order&);
  Found write(uintptr_t begin, size_t bytes, const Access&, const Order&);
  Found atomic(uintptr_t begin, size_t bytes, const Access&, const Order&);
  // Whether somebody wrote since the moment of the order.
  Found was_written(uintptr_t begin, size_t bytes, const Order&);
  // The write `begun`, which is pending, happens now.
  void finish_write(uintptr_t begin, size_t bytes, const Access& now);

 private:
  struct Cell {
    Access write, read, other;
    uint32_t set = 0;  // of lanes that have read as `read` has, in its epoch: 1 + its number; 0: it alone
  };
  struct Readers {
    std::array<Access, 32> of_lane;
  };
  // Four bytes; each for itself where they have been accessed so.
  struct Word {
    Cell cell;
    std::unique_ptr<std::array<Cell, 4>> bytes;
  };
  static constexpr size_t page_bytes = 4096;
  using Page = std::array<Word, page_bytes / 4>;

  Word& word(uintptr_t address);
  void split(Word&);
  template <typename F>
  Found for_cells(uintptr_t begin, size_t bytes, F f);
  void add_reader(Cell&, const Access&, const Order&);
  uint32_t new_set();
  // What was done to the bytes and is not before what is done now.
  static Found write_not_before(const Cell&, uintptr_t byte, const Order&);
  Found read_not_before(const Cell&, uintptr_t byte, const Order&) const;
  Found atomic_not_before(uintptr_t byte, const Order&) const;

  std::unordered_map<uintptr_t, Page*> pages_;  // by address / page_bytes
  std::vector<std::unique_ptr<Page>> all_pages_;
  size_t pages_used_ = 0;
  struct Recent {
    uintptr_t number = 0;
    Page* page = nullptr;
  };
  std::array<Recent, 64> recent_{};
  std::deque<Readers> sets_;
  uint32_t sets_used_ = 0;
  std::unordered_map<uintptr_t, std::vector<Access>> atomics_;  // by address / 4
};

}  // namespace lime::emulator::race
