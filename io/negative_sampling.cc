#include "io/negative_sampling.h"

#include <algorithm>

namespace lime {

KeptCandidates sample_negatives(const std::vector<std::span<const float>>& labels, int64_t first,
                                int64_t size, double share, const Philox& random) {
  KeptCandidates kept;
  const auto weight = static_cast<float>(1 / share);
  for (int64_t row = 0; row < size; ++row) {
    const bool positive =
        std::ranges::any_of(labels, [&](const auto& task) { return task[static_cast<size_t>(row)] > 0; });
    if (!positive && random.uniform(static_cast<uint64_t>(first + row)) >= share) continue;
    kept.rows.push_back(row);
    kept.importance.push_back(positive ? 1.0f : weight);
  }
  return kept;
}

void keep_rows(ColumnData& column, const std::vector<int64_t>& rows) {
  if (column.kind == ColumnKind::real) return keep_rows(column.reals, rows);
  if (column.kind == ColumnKind::id) return keep_rows(column.ids, rows);
  std::vector<int64_t> offsets = {0};
  auto out = column.ids.begin();
  for (const int64_t row : rows) {
    const auto segment = column.offsets.begin() + row;
    out = std::copy(column.ids.begin() + segment[0], column.ids.begin() + segment[1], out);
    offsets.push_back(out - column.ids.begin());
  }
  column.ids.erase(out, column.ids.end());
  column.offsets = std::move(offsets);
}

void keep_rows_of_segments(std::vector<int64_t>& offsets, const std::vector<int64_t>& rows) {
  for (int64_t& offset : offsets) offset = std::ranges::lower_bound(rows, offset) - rows.begin();
}

}  // namespace lime
