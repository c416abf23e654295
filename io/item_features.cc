#include "io/item_features.h"

#include <algorithm>
#include <iterator>

#include "io/feature_columns.h"
#include "runtime/error.h"

namespace lime {

std::vector<std::string> features_of_impressions(const DatasetSchema& schema,
                                                 const std::vector<std::string>& candidate) {
  std::vector<std::string> found;
  std::ranges::copy_if(candidate, std::back_inserter(found), [&](const std::string& name) {
    return std::ranges::any_of(schema.columns, [&](const ColumnSchema& column) {
      return column.group == ColumnGroup::candidate && column.name == name;
    });
  });
  return found;
}

void ItemFeatures::check(const DatasetSchema& schema, const BatchSpec& spec) {
  resolve_features(schema, spec);
  if (const auto found = features_of_impressions(schema, spec.candidate); !found.empty())
    throw UserError(
        str("features.candidate: '", found.front(),
            "' is a column of the impression, not of the item, which is not known ahead of the request; "
            "expected item and columns of items.h5: train without it, or import it among request_features, "
            "if it is the same for all candidates of a request"));
}

ItemFeatures::ItemFeatures(const DatasetSchema& schema, const BatchSpec& spec, const std::string& items)
    : plan_(schema, spec, HistoryMode::none) {
  check(schema, spec);
  // The plan's list also has the item columns of histories, which stay empty here.
  std::vector<PlannedColumn> columns;
  for (auto& source : plan_.candidate) {
    if (source.from != FeatureSource::From::item_column) continue;
    columns.push_back(plan_.item_columns[source.index]);
    source.index = columns.size() - 1;
  }
  if (!columns.empty()) table_ = std::make_unique<ItemTable>(items, columns);
}

FeatureColumns ItemFeatures::columns(std::span<const int64_t> items) const {
  const auto rows = static_cast<int64_t>(items.size());
  std::vector<int32_t> item_row(table_ ? items.size() : 0);
  if (table_) table_->rows_of(items, item_row.data());
  FeatureColumns out;
  start_columns(plan_.candidate, out);
  RealBlock reals(out.real, plan_.resolved.candidate_real, rows);
  auto column = out.id_columns.begin();
  for (const auto& source : plan_.candidate) {
    if (source.kind == ColumnKind::real) {
      float* to = reals.take_column();
      const auto values = table_->column(source.index).reals;
      for (const int32_t row : item_row) {
        *to = row < 0 ? 0.0f : values[static_cast<size_t>(row)];
        to += reals.width();
      }
      continue;
    }
    IdColumn& ids = *column++;
    if (source.from == FeatureSource::From::own_id)
      ids.ids.assign(items.begin(), items.end());
    else
      append_joined(table_->column(source.index), item_row, 0, rows, ids);
  }
  return out;
}

std::vector<int64_t> read_item_ids(const std::string& items) {
  const ItemTable table(items, {});
  return {table.ids().begin(), table.ids().end()};
}

}  // namespace lime
