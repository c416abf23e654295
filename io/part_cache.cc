#include "io/part_cache.h"

namespace lime {

PartCache::PartCache(const Dataset& dataset, const ReadPlan& plan, const ItemTable& items, size_t capacity)
    : dataset_(dataset), plan_(plan), items_(items), capacity_(capacity) {}

// Forgets the parts that were used longest ago and that nobody reads, until one more fits.
void PartCache::make_room() {
  for (auto it = parts_.end(); parts_.size() >= capacity_ && it != parts_.begin();) {
    --it;
    if (it->second.use_count() > 1) continue;
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
  parts_.emplace_front(part, loaded);
  return loaded;
}

}  // namespace lime
