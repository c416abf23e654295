// Negative sampling: training on all positives and a share of the negatives, each of which weighs 1 / share.
//
// A candidate is a negative where no task that is trained on has a label above 0 of it. Which negatives are
// kept is drawn from (seed, epoch, day, part, row): the same on any number of ranks and after a resume,
// others in the next epoch. The weights make the expected loss and gradient those of all candidates
// (Horvitz-Thompson), so probabilities need no correction. Histories keep their events.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/column_data.h"
#include "runtime/philox.h"

namespace lime {

struct KeptCandidates {
  std::vector<int64_t> rows;      // ascending
  std::vector<float> importance;  // by kept row: 1, or 1 / share of a negative
};
// Of rows [first, first + size) of a day part: `labels` has a list of `size` for each task that counts.
KeptCandidates sample_negatives(const std::vector<std::span<const float>>& labels, int64_t first,
                                int64_t size, double share, const Philox& random);

// Only those rows of a column, in place. `rows` ascend.
template <typename T>
void keep_rows(std::vector<T>& values, const std::vector<int64_t>& rows) {
  size_t kept = 0;
  for (const int64_t row : rows) values[kept++] = values[static_cast<size_t>(row)];
  values.resize(kept);
}
void keep_rows(ColumnData&, const std::vector<int64_t>& rows);
// Offsets of segments of rows (segments + 1, from 0), where only those rows are left.
void keep_rows_of_segments(std::vector<int64_t>& offsets, const std::vector<int64_t>& rows);

}  // namespace lime
