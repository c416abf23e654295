// ItemTable: items.h5 in memory, in one piece that the processes of a host can share.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/column_data.h"
#include "io/row_index.h"
#include "runtime/anonymous_file.h"

namespace lime {

// items.h5's columns, and item id -> row.
class ItemTable {
 public:
  // Empty where the dataset's features need no columns.
  ItemTable(const Dataset&, const std::vector<PlannedColumn>& columns);
  // Of any file of that format.
  ItemTable(const std::string& path, const std::vector<PlannedColumn>& columns);

  // Where another process of this host finds this table's memory, while this process has it.
  struct Place {
    int64_t process = 0, file = 0;  // as AnonymousFile has them
    uint64_t mark = 0;              // what is found there begins with it; never 0
  };
  // Not of an empty one.
  Place place() const;
  // The table at that place, in the same memory. Throws UserError where it cannot be opened, or is another
  // one: a process in another process namespace sees others under the same numbers.
  explicit ItemTable(const Place&);

  std::span<const int64_t> ids() const { return id_; }  // ascending
  // rows[i]: the row of items[i], or -1: it is not there.
  void rows_of(std::span<const int64_t> items, int32_t* rows) const { index_.find(items, rows); }
  size_t columns() const { return columns_.size(); }
  const ColumnView& column(size_t index) const { return columns_[index]; }
  int64_t bytes() const { return static_cast<int64_t>(memory_.size()); }

 private:
  void load(const std::string& path, std::optional<int64_t> rows, const std::vector<PlannedColumn>& columns);
  void find_columns();

  AnonymousFile file_;  // none where another process has it
  MappedFile memory_;   // what the rest borrows from
  std::span<const int64_t> id_;
  RowIndex index_;
  std::vector<ColumnView> columns_;
};

}  // namespace lime
