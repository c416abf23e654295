#include "io/part_cache.h"

#include <algorithm>

#include "io/part_files.h"
#include "runtime/error.h"

namespace lime {

EventsPart::EventsPart(const Dataset& dataset, int64_t part, const ReadPlan& plan, const ItemTable& items)
    : path(dataset.events_path(part)) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  check_part_file(file, "events");
  const auto& info = dataset.part_info()[static_cast<size_t>(part)];
  const int64_t user_rows = info.users, events = info.events;
  user_id = load_integers(file, "/user/id", 0, user_rows, user_rows);
  user_offsets = load_integers(file, "/user/offsets", 0, user_rows + 1, user_rows + 1);
  check_offsets(file, "/user/offsets", user_offsets, 0, events);
  for (const auto& column : plan.user_columns)
    user_columns.push_back(load_column(file, "/user", column, 0, user_rows, user_rows));
  for (const auto& column : plan.event_columns)
    event_columns.push_back(load_column(file, "/event", column, 0, events, events));
  if (plan.event_time) {
    time = load_integers(file, "/event/time", 0, events, events);
    for (size_t u = 0; u + 1 < user_offsets.size(); ++u)
      if (!std::is_sorted(time.begin() + user_offsets[u], time.begin() + user_offsets[u + 1]))
        throw UserError(str(path, ": /event/time: user ", user_id[u], ": expected events in order of time"));
  }
  if (plan.event_item || plan.event_item_row) item = load_integers(file, "/event/item", 0, events, events);
  if (plan.event_item_row) {
    item_row.resize(item.size());
    std::transform(item.begin(), item.end(), item_row.begin(), [&](int64_t id) { return items.row_of(id); });
    if (!plan.event_item) std::vector<int64_t>().swap(item);
  }
}

int64_t EventsPart::bytes() const {
  return bytes_of(user_id) + bytes_of(user_offsets) + bytes_of(time) + bytes_of(item) + bytes_of(item_row) +
         bytes_of(user_columns) + bytes_of(event_columns);
}

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
