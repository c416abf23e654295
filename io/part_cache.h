// PartCache: the events parts that shards are reading.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "io/events_part.h"

namespace lime {

// Events parts by number; keeps those in use and the most recently used, `capacity` in all. Thread-safe.
class PartCache {
 public:
  PartCache(const Dataset&, const ReadPlan&, const ItemTable&, size_t capacity);
  std::shared_ptr<const EventsPart> get(int64_t part);
  int64_t bytes() const { return bytes_; }

 private:
  void make_room();
  const Dataset& dataset_;
  const ReadPlan& plan_;
  const ItemTable& items_;
  const size_t capacity_;
  std::mutex mutex_;
  std::list<std::pair<int64_t, std::shared_ptr<const EventsPart>>> parts_;  // most recent first
  std::atomic<int64_t> bytes_ = 0;
};

}  // namespace lime
