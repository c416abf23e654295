// Putting together the columns of features that a batch or a request hands to the model.
#pragma once

#include <cstdint>
#include <vector>

#include "io/batch.h"
#include "io/column_data.h"
#include "io/read_plan.h"

namespace lime {

// min(floor(log2(1 + seconds from the event to the request)), buckets - 1)
int64_t age_bucket(int64_t request_ms, int64_t event_ms, int64_t buckets);

// Columns without rows, for these features.
void start_columns(const std::vector<FeatureSource>&, FeatureColumns& out);
// Appends rows [begin, end) of a column.
void append_range(const ColumnView&, int64_t begin, int64_t end, IdColumn& out);
// Appends the item column's values for rows [begin, end) of `item_row`; -1 is an item without a row.
void append_joined(const ColumnView&, const std::vector<int32_t>& item_row, int64_t begin, int64_t end,
                   IdColumn& out);
// Rows [begin, end) of columns whose reals are `real_width` wide.
FeatureColumns slice_rows(const FeatureColumns&, int64_t begin, int64_t end, int64_t real_width);

// Real features of a group, one column of the row-major block at a time.
class RealBlock {
 public:
  RealBlock(std::vector<float>& block, int64_t width, int64_t rows) : width_(width) {
    const size_t old = block.size();
    block.resize(old + static_cast<size_t>(width * rows));
    next_column_ = block.data() + old;
  }
  // Where the next real feature goes; the distance between rows is width().
  float* take_column() { return next_column_++; }
  int64_t width() const { return width_; }

 private:
  int64_t width_;
  float* next_column_;
};

}  // namespace lime
