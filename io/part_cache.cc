#include "io/part_cache.h"

namespace lime {

PartCache::PartCache(const Dataset& dataset, const ReadPlan& plan, const ItemTable& items, int64_t idle_bytes)
    : dataset_(dataset), plan_(plan), items_(items), idle_bytes_(idle_bytes) {}

// Forgets parts that nobody reads, those used last first, until no more than idle_bytes_ of them are left.
void PartCache::make_room() {
  const auto idle = [](const auto& part) { return part.second.use_count() == 1; };
  int64_t kept = 0;
  for (const auto& part : parts_) kept += idle(part) ? part.second->bytes() : 0;
  for (auto it = parts_.begin(); kept > idle_bytes_ && it != parts_.end();) {
    if (!idle(*it)) {
      ++it;
      continue;
    }
    kept -= it->second->bytes();
    bytes_ -= it->second->bytes();
    it = parts_.erase(it);
  }
}

std::shared_ptr<const EventsPart> PartCache::get(int64_t part) {
  {
    std::lock_guard lock(mutex_);
    for (auto it = parts_.begin(); it != parts_.end(); ++it) {
      if (it->first != part) continue;
      parts_.splice(parts_.begin(), parts_, it);
      return it->second;
    }
    make_room();
  }
  // Outside the lock: shards share no parts, so nobody else loads this one.
  auto loaded = std::make_shared<const EventsPart>(dataset_, part, plan_, items_);
  std::lock_guard lock(mutex_);
  bytes_ += loaded->bytes();
  ++loads_;
  parts_.emplace_front(part, loaded);
  return loaded;
}

}  // namespace lime
