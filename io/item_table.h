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
  std::span<const int64_t> ids() const { return id_; }              // ascending
  int32_t row_of(int64_t item) const { return index_.find(item); }  // -1: not there
  const ColumnData& column(size_t index) const { return columns_[index]; }
  int64_t bytes() const;

 private:
  void load(const std::string& path, std::optional<int64_t> rows, const std::vector<ColumnSchema>& columns);

  std::vector<int64_t> id_;
  RowIndex index_;
  std::vector<ColumnData> columns_;
};

}  // namespace lime
