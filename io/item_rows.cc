#include "io/item_rows.h"

#include <algorithm>

#include "io/part_files.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr int64_t window_rows = 65536;

}  // namespace

ItemRows::ItemRows(const Dataset& dataset, const RowLayout& layout)
    : file_(dataset.items_path(), Hdf5File::Mode::read), columns_(layout.columns()), rows_(dataset.items()) {
  check_part_file(file_, "items");
}

bool ItemRows::next() {
  if (++at_ >= ids_.size()) {
    if (end_ == rows_) return false;
    const int64_t begin = end_;
    end_ = std::min(rows_, begin + window_rows);
    ids_ = load_integers(file_, "/item/id", begin, end_, rows_);
    window_.clear();
    for (const auto& column : columns_)
      window_.push_back(load_column(file_, "/item", column, begin, end_, rows_));
    at_ = 0;
  }
  values_ = {};
  for (const auto& column : window_) {
    if (column.kind == ColumnKind::id) values_.ids.push_back(column.ids[at_]);
    if (column.kind == ColumnKind::real) values_.reals.push_back(column.reals[at_]);
    if (column.kind == ColumnKind::ids)
      values_.lists.emplace_back(column.ids.begin() + column.offsets[at_],
                                 column.ids.begin() + column.offsets[at_ + 1]);
  }
  return true;
}

}  // namespace lime
