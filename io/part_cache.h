// PartCache: the events parts that shards are reading, and parts that they will read again.
//
// A day has requests of users of every part, so each part is wanted once a day, in an order that is drawn
// anew: what was used last is wanted last. So where room ends, that is what goes, and a share of the parts as
// large as the room stays for all days. (Were the oldest to go, as caches do, no part would ever be there.)
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "io/events_part.h"

namespace lime {

// Events parts by number; keeps those in use, and up to `idle_bytes` of those that nobody reads. Thread-safe.
class PartCache {
 public:
  PartCache(const Dataset&, const ReadPlan&, const ItemTable&, int64_t idle_bytes);
  std::shared_ptr<const EventsPart> get(int64_t part);
  int64_t bytes() const { return bytes_; }
  int64_t loads() const { return loads_; }  // from files, so far

 private:
  void make_room();
  const Dataset& dataset_;
  const ReadPlan& plan_;
  const ItemTable& items_;
  const int64_t idle_bytes_;
  std::mutex mutex_;
  std::list<std::pair<int64_t, std::shared_ptr<const EventsPart>>> parts_;  // most recent first
  std::atomic<int64_t> bytes_ = 0, loads_ = 0;
};

}  // namespace lime
