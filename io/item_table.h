// ItemTable: items.h5 in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/column_data.h"
#include "io/row_index.h"

namespace lime {

// items.h5's columns, and item id -> row.
class ItemTable {
 public:
  // Empty where the dataset's features need no columns.
  ItemTable(const Dataset&, const std::vector<ColumnSchema>& columns);
  // Of any file of that format.
  ItemTable(const std::string& path, const std::vector<ColumnSchema>& columns);
  std::span<const int64_t> ids() const { return id_; }  // ascending
  // rows[i]: the row of items[i], or -1: it is not there.
  void rows_of(std::span<const int64_t> items, int32_t* rows) const { index_.find(items, rows); }
  const ColumnData& column(size_t index) const { return columns_[index]; }
  int64_t bytes() const;

 private:
  void load(const std::string& path, std::optional<int64_t> rows, const std::vector<ColumnSchema>& columns);

  std::vector<int64_t> id_;
  RowIndex index_;
  std::vector<ColumnData> columns_;
};

}  // namespace lime
