// Columns of a dataset's files in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/hdf5_file.h"
#include "io/number_buckets.h"

namespace lime {

// Some rows of a column. `ids` columns have offsets (rows + 1), rebased to 0.
struct ColumnData {
  ColumnKind kind = ColumnKind::id;
  std::vector<int64_t> ids, offsets;
  std::vector<float> reals;
  int64_t bytes() const;
};
// Held in memory.
int64_t bytes_of(const std::vector<ColumnData>&);

// The same, borrowed.
struct ColumnView {
  ColumnView() = default;
  ColumnView(const ColumnData& column)
      : kind(column.kind), ids(column.ids), offsets(column.offsets), reals(column.reals) {}
  ColumnKind kind = ColumnKind::id;
  std::span<const int64_t> ids, offsets;
  std::span<const float> reals;
};
template <typename T>
int64_t bytes_of(const std::vector<T>& values) {
  return static_cast<int64_t>(values.capacity() * sizeof(T));
}

// Rows [begin, end) of PREFIX/NAME, a column of `rows` rows. Throws UserError where the file holds something
// else.
ColumnData load_column(const Hdf5File&, const std::string& prefix, const ColumnSchema&, int64_t begin,
                       int64_t end, int64_t rows);

// A column as features read it: a number in buckets is the id of its bucket. A missing number is id -1, or 0
// where it has no buckets.
struct PlannedColumn {
  ColumnSchema stored;
  std::optional<NumberBuckets> buckets = std::nullopt;
};
ColumnData load_column(const Hdf5File&, const std::string& prefix, const PlannedColumn&, int64_t begin,
                       int64_t end, int64_t rows);

// Rows [begin, end) of a column that every file of this kind has.
std::vector<int64_t> load_integers(const Hdf5File&, const std::string& name, int64_t begin, int64_t end,
                                   int64_t rows);
std::vector<float> load_reals(const Hdf5File&, const std::string& name, int64_t begin, int64_t end,
                              int64_t rows);
// Checks offsets of a CSR column that starts at `first`: ascending, the last at most `limit`.
void check_offsets(const Hdf5File&, const std::string& name, const std::vector<int64_t>& offsets,
                   int64_t first, int64_t limit);

}  // namespace lime
