#include "io/feature_columns.h"

#include <algorithm>
#include <bit>

namespace lime {

int64_t age_bucket(int64_t request_ms, int64_t event_ms, int64_t buckets) {
  // Without a sign, since times at both ends of what 64 bits hold have no difference with one.
  const uint64_t ms =
      request_ms > event_ms ? static_cast<uint64_t>(request_ms) - static_cast<uint64_t>(event_ms) : 0;
  return std::min<int64_t>(std::bit_width(ms / 1000 + 1) - 1, buckets - 1);
}

void start_columns(const std::vector<FeatureSource>& sources, FeatureColumns& out) {
  for (const auto& source : sources)
    if (source.kind != ColumnKind::real) {
      out.id_columns.emplace_back();
      if (source.kind == ColumnKind::ids) out.id_columns.back().offsets.push_back(0);
    }
}

void append_range(const ColumnView& column, int64_t begin, int64_t end, IdColumn& out) {
  if (column.kind == ColumnKind::id) {
    out.ids.insert(out.ids.end(), column.ids.begin() + begin, column.ids.begin() + end);
    return;
  }
  const auto base = static_cast<int64_t>(out.ids.size()) - column.offsets[static_cast<size_t>(begin)];
  for (int64_t i = begin; i < end; ++i)
    out.offsets.push_back(base + column.offsets[static_cast<size_t>(i) + 1]);
  out.ids.insert(out.ids.end(), column.ids.begin() + column.offsets[static_cast<size_t>(begin)],
                 column.ids.begin() + column.offsets[static_cast<size_t>(end)]);
}

void append_joined(const ColumnView& column, const std::vector<int32_t>& item_row, int64_t begin, int64_t end,
                   IdColumn& out) {
  const int32_t* rows = item_row.data();
  if (column.kind == ColumnKind::id) {
    const size_t old = out.ids.size();
    out.ids.resize(old + static_cast<size_t>(end - begin));
    int64_t* ids = out.ids.data() + old;
    for (int64_t i = begin; i < end; ++i)
      *ids++ = rows[i] < 0 ? -1 : column.ids[static_cast<size_t>(rows[i])];
    return;
  }
  for (int64_t i = begin; i < end; ++i) {
    if (const int32_t row = rows[i]; row >= 0)
      append_range(column, row, row + 1, out);
    else
      out.offsets.push_back(static_cast<int64_t>(out.ids.size()));
  }
}

FeatureColumns slice_rows(const FeatureColumns& columns, int64_t begin, int64_t end, int64_t real_width) {
  FeatureColumns out;
  for (const IdColumn& column : columns.id_columns) {
    IdColumn& to = out.id_columns.emplace_back();
    int64_t first = begin, last = end;
    if (!column.offsets.empty()) {
      first = column.offsets[static_cast<size_t>(begin)], last = column.offsets[static_cast<size_t>(end)];
      for (int64_t i = begin; i <= end; ++i)
        to.offsets.push_back(column.offsets[static_cast<size_t>(i)] - first);
    }
    to.ids.assign(column.ids.begin() + first, column.ids.begin() + last);
  }
  out.real.assign(columns.real.begin() + begin * real_width, columns.real.begin() + end * real_width);
  return out;
}

}  // namespace lime
