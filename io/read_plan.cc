#include "io/read_plan.h"

#include <algorithm>

namespace lime {
namespace {

size_t index_of(std::vector<PlannedColumn>& columns, const PlannedColumn& column) {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const auto& known) { return known.stored == column.stored; });
  if (found != columns.end()) return static_cast<size_t>(found - columns.begin());
  columns.push_back(column);
  return columns.size() - 1;
}

}  // namespace

ReadPlan::ReadPlan(const DatasetSchema& schema, const BatchSpec& spec, HistoryMode mode)
    : resolved(resolve_features(schema, spec)) {
  const bool histories = mode != HistoryMode::none;
  history = sources(resolved.history, schema.columns);
  candidate = sources(resolved.candidate, schema.columns);
  user = sources(resolved.user, schema.columns);
  for (const auto& source : candidate) candidate_item_row |= source.from == FeatureSource::From::item_column;
  event_time = mode == HistoryMode::frozen || mode == HistoryMode::stranger;
  for (const auto& source : history) {
    event_item |= histories && source.from == FeatureSource::From::own_id;
    event_time |= histories && source.from == FeatureSource::From::age;
    event_item_row |= histories && source.from == FeatureSource::From::item_column;
  }
  if (!histories) event_columns.clear();
}

std::vector<PlannedColumn>& ReadPlan::columns_of(ColumnGroup group) {
  switch (group) {
    case ColumnGroup::user:
      return user_columns;
    case ColumnGroup::event:
      return event_columns;
    case ColumnGroup::request:
      return request_columns;
    case ColumnGroup::candidate:
      return candidate_columns;
    default:
      return item_columns;
  }
}

std::vector<FeatureSource> ReadPlan::sources(const std::vector<ResolvedFeature>& features,
                                             const std::vector<ColumnSchema>& schema) {
  using From = FeatureSource::From;
  std::vector<FeatureSource> result;
  for (const auto& feature : features) {
    const ColumnSchema column{feature.name, feature.source, feature.stored_kind()};
    const bool is_column = std::find(schema.begin(), schema.end(), column) != schema.end();
    if (!is_column) {  // known to every dataset
      result.push_back({feature.name == "age" ? From::age : From::own_id, ColumnKind::id, 0});
      continue;
    }
    const From from = feature.source == ColumnGroup::item   ? From::item_column
                      : feature.source == ColumnGroup::user ? From::user_column
                                                            : From::own_column;
    result.push_back({from, feature.kind, index_of(columns_of(feature.source), {column, feature.buckets})});
  }
  return result;
}

}  // namespace lime
