// PartCache: the events parts that shards are reading.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "io/column_data.h"
#include "io/item_table.h"
#include "io/read_plan.h"

namespace lime {

// One events part, the planned columns of it.
struct EventsPart {
  EventsPart(const Dataset&, int64_t part, const ReadPlan&, const ItemTable&);
  int64_t users() const { return static_cast<int64_t>(user_id.size()); }
  int64_t bytes() const;

  std::string path;
  std::vector<int64_t> user_id, user_offsets;
  std::vector<int64_t> time, item;  // empty where not planned
  std::vector<int32_t> item_row;
  std::vector<ColumnData> user_columns, event_columns;
};

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
