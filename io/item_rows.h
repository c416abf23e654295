// ItemRows: the rows of a dataset's item table one after the other, by id, in bounded memory.
#pragma once

#include <vector>

#include "io/column_data.h"
#include "io/row_columns.h"

namespace lime {

class ItemRows {
 public:
  // `layout`: of group item; the columns may stand in another order than in the dataset's schema.
  ItemRows(const Dataset&, const RowLayout& layout);
  bool next();  // false at the end
  int64_t id() const { return ids_[at_]; }
  // As the layout decodes them.
  const RowValues& values() const { return values_; }

 private:
  Hdf5File file_;
  std::vector<ColumnSchema> columns_;
  int64_t rows_, end_ = 0;  // end_: of the window in memory
  std::vector<int64_t> ids_;
  std::vector<ColumnData> window_;
  size_t at_ = 0;
  RowValues values_;
};

}  // namespace lime
