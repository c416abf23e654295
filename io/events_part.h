// EventsPart: the users of one part and their events in memory, brought together from all imports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/column_data.h"
#include "io/item_table.h"
#include "io/read_plan.h"

namespace lime {

// The planned columns of one part. A user's events are rows [user_offsets[u], user_offsets[u + 1]), in order
// of time: those of each import follow those of the one before.
struct EventsPart {
  // Throws UserError naming the file that is not what the dataset says.
  EventsPart(const Dataset&, int64_t part, const ReadPlan&, const ItemTable&);
  int64_t users() const { return static_cast<int64_t>(user_id.size()); }
  int64_t bytes() const;

  std::string path;  // of the first import's file, for messages
  std::vector<int64_t> user_id, user_offsets;
  std::vector<int64_t> time, item;  // empty where not planned
  std::vector<int32_t> item_row;
  std::vector<ColumnData> user_columns, event_columns;
};

}  // namespace lime
