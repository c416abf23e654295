#include "runtime/emulator/race_shadow.h"

#include <algorithm>

namespace lime::emulator::race {

void Shadow::begin_launch() {
  pages_.clear();
  recent_.fill({});
  pages_used_ = 0;  // what is in them is over
  atomics_.clear();
  begin_epoch();
}

Shadow::Word& Shadow::word(uintptr_t address) {
  const uintptr_t number = address / page_bytes;
  Recent& recent = recent_[number % recent_.size()];
  if (recent.number != number || !recent.page) {
    Page*& page = pages_[number];
    if (!page) {
      if (pages_used_ == all_pages_.size()) all_pages_.push_back(std::make_unique<Page>());
      page = all_pages_[pages_used_++].get();
    }
    recent = {number, page};
  }
  return (*recent.page)[address % page_bytes / 4];
}

uint32_t Shadow::new_set() {
  if (sets_used_ == sets_.size()) sets_.emplace_back();
  sets_[sets_used_] = {};
  return ++sets_used_;
}

void Shadow::split(Word& w) {
  w.bytes = std::make_unique<std::array<Cell, 4>>();
  w.bytes->fill(w.cell);
  if (w.cell.set == 0 || w.cell.set > sets_used_) return;
  for (size_t i = 1; i < 4; ++i) {
    const uint32_t set = new_set();
    sets_[set - 1] = sets_[w.cell.set - 1];
    (*w.bytes)[i].set = set;
  }
}

// Calls f(cell, address), whose answer ends it where it is not empty. Bytes that are written alike are one
// cell again.
template <typename F>
Shadow::Found Shadow::for_cells(uintptr_t begin, size_t bytes, F f) {
  const uintptr_t end = begin + bytes;
  for (uintptr_t at = begin / 4 * 4; at < end; at += 4) {
    Word& w = word(at);
    const bool whole = at >= begin && at + 4 <= end;
    if (whole && !w.bytes) {
      if (Found found = f(w.cell, at)) return found;
      continue;
    }
    if (!w.bytes) split(w);
    for (uintptr_t byte = std::max(at, begin); byte < std::min(at + 4, end); ++byte)
      if (Found found = f((*w.bytes)[byte - at], byte)) return found;
    const std::array<Cell, 4>& cells = *w.bytes;
    const auto is_written_alike = [&](const Cell& c) {
      return c.write == cells[0].write && c.read.epoch == 0 && c.other.epoch == 0;
    };
    if (whole && std::all_of(cells.begin(), cells.end(), is_written_alike)) {
      w.cell = cells[0];
      w.bytes.reset();
    }
  }
  return {};
}

void Shadow::add_reader(Cell& c, const Access& me, const Order& order) {
  bool all_before = true, beside = false;
  const Access last = c.read;
  if (last.epoch != me.epoch) c.set = 0;  // another epoch's sets are gone
  if (c.set == 0) {
    all_before = order.is_before(last);
    beside = last.epoch == me.epoch && last.thread / 32 == me.thread / 32;
  } else {
    beside = last.thread / 32 == me.thread / 32;
    for (const Access& a : sets_[c.set - 1].of_lane)
      if (a.epoch != 0) all_before &= order.is_before(a);
  }
  if (all_before) {
    c.set = 0;
  } else if (beside) {
    if (c.set == 0) {
      c.set = new_set();
      sets_[c.set - 1].of_lane[last.thread % 32] = last;
    }
    sets_[c.set - 1].of_lane[me.thread % 32] = me;
  } else {
    // A block before this one, which nothing orders any more, stays.
    if (c.other.epoch < order.since || c.other.epoch >= order.block_began) c.other = last;
    c.set = 0;
  }
  c.read = me;
}

Shadow::Found Shadow::write_not_before(const Cell& c, uintptr_t byte, const Order& order) {
  const Access& w = c.write;
  if (w.epoch < order.since || (!w.pending && order.is_before(w))) return {};
  return Conflict{w, true, byte};
}

Shadow::Found Shadow::read_not_before(const Cell& c, uintptr_t byte, const Order& order) const {
  if (!order.is_before(c.other)) return Conflict{c.other, false, byte};
  if (!order.is_before(c.read)) return Conflict{c.read, false, byte};
  if (c.set == 0 || c.read.epoch != order.epoch) return {};
  for (const Access& a : sets_[c.set - 1].of_lane)
    if (!order.is_before(a)) return Conflict{a, false, byte};
  return {};
}

Shadow::Found Shadow::atomic_not_before(uintptr_t byte, const Order& order) const {
  const auto found = atomics_.find(byte / 4);
  if (found == atomics_.end()) return {};
  for (const Access& a : found->second)
    if (!order.is_before(a)) return Conflict{a, true, byte};
  return {};
}

Shadow::Found Shadow::read(uintptr_t begin, size_t bytes, const Access& me, const Order& order) {
  return for_cells(begin, bytes, [&](Cell& c, uintptr_t byte) -> Found {
    if (Found found = write_not_before(c, byte, order)) return found;
    if (!atomics_.empty())
      if (Found found = atomic_not_before(byte, order)) return found;
    add_reader(c, me, order);
    return {};
  });
}

Shadow::Found Shadow::write(uintptr_t begin, size_t bytes, const Access& me, const Order& order) {
  return for_cells(begin, bytes, [&](Cell& c, uintptr_t byte) -> Found {
    if (Found found = write_not_before(c, byte, order)) return found;
    if (!atomics_.empty()) {
      if (Found found = atomic_not_before(byte, order)) return found;
      atomics_.erase(byte / 4);
    }
    if (Found found = read_not_before(c, byte, order)) return found;
    c = {.write = me, .read = {}, .other = {}};
    return {};
  });
}

Shadow::Found Shadow::atomic(uintptr_t begin, size_t bytes, const Access& me, const Order& order) {
  return for_cells(begin, bytes, [&](Cell& c, uintptr_t byte) -> Found {
    if (Found found = write_not_before(c, byte, order)) return found;
    if (Found found = read_not_before(c, byte, order)) return found;
    std::vector<Access>& all = atomics_[byte / 4];
    const auto mine = std::find_if(all.begin(), all.end(), [&](const Access& a) {
      return a.thread == me.thread && (a.epoch >= order.block_began) == (me.epoch >= order.block_began);
    });
    if (mine == all.end()) {
      all.push_back(me);
    } else {
      *mine = me;
    }
    return {};
  });
}

Shadow::Found Shadow::was_written(uintptr_t begin, size_t bytes, const Order& order) {
  return for_cells(begin, bytes, [&](Cell& c, uintptr_t byte) -> Found {
    if (!order.is_before(c.write)) return Conflict{c.write, true, byte};
    return atomic_not_before(byte, order);
  });
}

void Shadow::finish_write(uintptr_t begin, size_t bytes, const Access& now) {
  for_cells(begin, bytes, [&](Cell& c, uintptr_t) -> Found {
    c = {.write = now, .read = {}, .other = {}};
    return {};
  });
}

}  // namespace lime::emulator::race
