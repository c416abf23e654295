// What a reader has to load for the features that a user named.
#pragma once

#include <cstdint>
#include <vector>

#include "io/column_data.h"
#include "io/reader.h"

namespace lime {

// Where the values of one feature come from.
struct FeatureSource {
  enum class From : uint8_t { own_id, age, own_column, item_column, user_column };
  From from = From::own_id;  // own_id: the event's or candidate's item, or the user's id
  ColumnKind kind = ColumnKind::id;
  size_t index = 0;  // in the plan's list of columns of that group
};

// Which columns to load, and where each feature of a batch finds its values. From the features a user named.
struct ReadPlan {
  ReadPlan(const DatasetSchema&, const BatchSpec&, HistoryMode);
  ResolvedSpec resolved;
  std::vector<FeatureSource> history, candidate, user;
  std::vector<PlannedColumn> user_columns, event_columns, request_columns, candidate_columns, item_columns;
  bool event_item = false, event_item_row = false, event_time = false;  // which of these histories need
  bool candidate_item_row = false;

 private:
  std::vector<FeatureSource> sources(const std::vector<ResolvedFeature>&,
                                     const std::vector<ColumnSchema>& schema);
  std::vector<PlannedColumn>& columns_of(ColumnGroup);
};

}  // namespace lime
