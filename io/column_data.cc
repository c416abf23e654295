#include "io/column_data.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace lime {
namespace {

bool is_integer(H5Type type) { return type != H5Type::f32 && type != H5Type::f64; }

void check_rows(const Hdf5File& file, const std::string& name, int64_t rows) {
  const auto shape = file.shape(name);
  if (shape.size() != 1) throw UserError(str(file.path(), ": ", name, ": has 2 dimensions, expected 1"));
  if (shape[0] != rows)
    throw UserError(str(file.path(), ": ", name, ": has ", shape[0], " rows, expected ", rows));
}

}  // namespace

int64_t ColumnData::bytes() const { return bytes_of(ids) + bytes_of(offsets) + bytes_of(reals); }

int64_t bytes_of(const std::vector<ColumnData>& columns) {
  int64_t bytes = 0;
  for (const auto& column : columns) bytes += column.bytes();
  return bytes;
}

std::vector<int64_t> load_integers(const Hdf5File& file, const std::string& name, int64_t begin, int64_t end,
                                   int64_t rows) {
  check_rows(file, name, rows);
  if (!is_integer(file.type(name)))
    throw UserError(str(file.path(), ": ", name, ": holds reals, expected integers"));
  return file.read<int64_t>(name, begin, end);
}

std::vector<float> load_reals(const Hdf5File& file, const std::string& name, int64_t begin, int64_t end,
                              int64_t rows) {
  check_rows(file, name, rows);
  return file.read<float>(name, begin, end);
}

void check_offsets(const Hdf5File& file, const std::string& name, const std::vector<int64_t>& offsets,
                   int64_t first, int64_t limit) {
  const bool good = !offsets.empty() && offsets.front() >= first && offsets.back() <= limit &&
                    std::is_sorted(offsets.begin(), offsets.end());
  if (!good)
    throw UserError(str(file.path(), ": ", name, ": expected ascending offsets from ", first, " to ", limit));
}

ColumnData load_column(const Hdf5File& file, const std::string& prefix, const ColumnSchema& column,
                       int64_t begin, int64_t end, int64_t rows) {
  const std::string name = prefix + "/" + column.name;
  ColumnData data;
  data.kind = column.kind;
  if (column.kind == ColumnKind::id) {
    data.ids = load_integers(file, name, begin, end, rows);
  } else if (column.kind == ColumnKind::real) {
    data.reals = load_reals(file, name, begin, end, rows);
  } else {
    const int64_t values = file.shape(name + "/values").front();
    data.offsets = load_integers(file, name + "/offsets", begin, end + 1, rows + 1);
    check_offsets(file, name + "/offsets", data.offsets, 0, values);
    data.ids = load_integers(file, name + "/values", data.offsets.front(), data.offsets.back(), values);
    const int64_t first = data.offsets.front();
    for (auto& offset : data.offsets) offset -= first;
  }
  return data;
}

ColumnData load_column(const Hdf5File& file, const std::string& prefix, const PlannedColumn& column,
                       int64_t begin, int64_t end, int64_t rows) {
  ColumnData data = load_column(file, prefix, column.stored, begin, end, rows);
  if (!column.buckets) {
    for (float& value : data.reals)
      if (std::isnan(value)) value = 0;
    return data;
  }
  ColumnData ids;
  ids.ids.reserve(data.reals.size());
  for (const float value : data.reals) ids.ids.push_back(column.buckets->bucket_of(value));
  return ids;
}

}  // namespace lime
