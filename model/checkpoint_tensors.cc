#include "model/checkpoint_tensors.h"

#include <algorithm>
#include <cstdio>
#include <span>
#include <vector>

#include "runtime/bf16.h"
#include "runtime/error.h"
#include "runtime/host_copy.h"
#include "runtime/primitives.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int64_t block_values = int64_t{1} << 22;   // floats read at a time: 16 MiB
constexpr int64_t block_waiting = int64_t{1} << 20;  // ids that wait

void write_tensor(Hdf5File& file, const std::string& object, const ConstView& values, int64_t cols) {
  const auto write = [&]<typename T>(const T* data) {
    file.write<T>(object, std::span<const T>(data, static_cast<size_t>(values.size())), cols);
  };
  if (values.dtype() == DType::f32)
    write(values.data<float>());
  else
    write(values.data<double>());
}

void read_tensor(const Hdf5File& file, const std::string& object, View out, int64_t rows, int64_t cols) {
  if (!file.exists(object)) throw UserError(str(file.path(), ": ", object, ": missing from the file"));
  const std::vector<int64_t> shape = file.shape(object);
  if (shape != std::vector<int64_t>{rows, cols}) {
    std::string found;
    for (const int64_t n : shape) found += str(found.empty() ? "" : " x ", n);
    throw UserError(str(file.path(), ": ", object, ": shape ", found, ", expected ", rows, " x ", cols));
  }
  if (out.dtype() == DType::f32)
    file.read_into<float>(object, 0, rows, out.data<float>());
  else
    file.read_into<double>(object, 0, rows, out.data<double>());
}

// A parameter's part of a flat buffer of all parameters.
View part_of(const View& flat, const Parameter& parameter) {
  return flat.slice_cols(parameter.offset, parameter.offset + parameter.rows * parameter.cols);
}

// The three arrays of each parameter, on the context's device: (object, values).
template <typename Visit>
void for_each_array(const ParameterStore& parameters, const AdamW* optimizer, Visit&& visit) {
  for (const auto& p : parameters.all()) {
    visit(p, "/parameters/" + p.name, part_of(parameters.values(), p));
    if (!optimizer) continue;
    visit(p, "/adamw/first_moment/" + p.name, part_of(optimizer->first_moment(), p));
    visit(p, "/adamw/second_moment/" + p.name, part_of(optimizer->second_moment(), p));
  }
}

}  // namespace

std::string tables_file_name(int rank, int ranks) {
  char name[64];
  std::snprintf(name, sizeof name, "tables-%05d-of-%05d.h5", rank, ranks);
  return name;
}

bool is_tables_file(const std::string& name) { return name.starts_with("tables-"); }

void write_dense(const std::string& path, Context& ctx, const ParameterStore& parameters,
                 const AdamW& optimizer) {
  Hdf5File file(path, Hdf5File::Mode::create);
  for_each_array(parameters, &optimizer,
                 [&](const Parameter& p, const std::string& object, const View& array) {
                   write_tensor(file, object, host_copy(ctx, array).view(), p.cols);
                 });
  file.close();
}

void read_dense(const std::string& path, Context& ctx, ParameterStore& parameters, AdamW* optimizer) {
  Hdf5File file(path, Hdf5File::Mode::read);
  for_each_array(parameters, optimizer,
                 [&](const Parameter& p, const std::string& object, const View& array) {
                   const Tensor host(Device{}, array.dtype(), array.rows(), array.cols());
                   read_tensor(file, object, host, p.rows, p.cols);
                   copy(ctx, host.view(), array);
                 });
  parameters.refresh(ctx);
}

namespace {

// In the table's type, which has them exactly.
void append_values(Hdf5File& file, const std::string& object, const TableConfig& table,
                   const std::vector<float>& values) {
  if (table.type == DType::f32) return file.append<float>(object, values, table.dim);
  std::vector<bf16> stored(values.size());
  std::transform(values.begin(), values.end(), stored.begin(), [](float x) { return to_bf16(x); });
  file.append<bf16>(object, stored, table.dim);
}

// The column has `rows` rows, `columns` wide; 0: one number a row.
void check_shape(const Hdf5File& file, const std::string& object, int64_t rows, int64_t columns) {
  const std::vector<int64_t> expected =
      columns > 0 ? std::vector<int64_t>{rows, columns} : std::vector<int64_t>{rows};
  if (const auto found = file.shape(object); found != expected)
    throw UserError(str(file.path(), ": ", object, ": shape ", joined(found, " x "), ", expected ",
                        joined(expected, " x ")));
}

std::vector<float> read_values(const Hdf5File& file, const std::string& object, int64_t begin, int64_t end) {
  if (file.type(object) != H5Type::bf16) return file.read<float>(object, begin, end);
  const auto stored = file.read<bf16>(object, begin, end);
  std::vector<float> values(stored.size());
  std::transform(stored.begin(), stored.end(), values.begin(), [](bf16 x) { return to_float(x); });
  return values;
}

}  // namespace

std::vector<int64_t> read_bucket_offsets(const Hdf5File& file, const std::string& object) {
  check_shape(file, object, virtual_buckets + 1, 0);
  auto offsets = file.read<int64_t>(object);
  if (offsets.front() != 0 || !std::is_sorted(offsets.begin(), offsets.end()))
    throw UserError(str(file.path(), ": ", object, ": expected ascending offsets from 0"));
  return offsets;
}

void write_tables(const std::string& path, const EmbeddingCollection& tables) {
  Hdf5File file(path, Hdf5File::Mode::create);
  for (size_t t = 0; t < tables.tables().size(); ++t) {
    const auto table = static_cast<int64_t>(t);
    const TableConfig& config = tables.tables()[t];
    const std::string group = "/" + config.name;
    const int64_t state_width = tables.state_width(table);
    const auto append = [&](const TableRows& rows) {
      file.append<int64_t>(group + "/id", rows.ids);
      append_values(file, group + "/value", config, rows.values);
      if (state_width > 0) file.append<float>(group + "/state", rows.state, state_width);
      file.append<uint8_t>(group + "/idle", rows.idle);
    };
    // Tables whose ids never wait have files as before there was a choice.
    const bool waits = config.admit_after > 1;
    const auto append_waiting = [&](const WaitingIds& waiting) {
      if (!waits) return;
      file.append<int64_t>(group + waiting_ids, waiting.ids);
      file.append<uint8_t>(group + waiting_steps, waiting.steps);
      file.append<uint8_t>(group + waiting_idle, waiting.idle);
    };
    append({});  // a rank without rows writes empty arrays
    append_waiting({});
    std::vector<int64_t> offsets{0}, waiting{0};
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows rows = tables.bucket_rows(table, bucket);
      if (!rows.ids.empty()) append(rows);
      if (!rows.waiting.ids.empty()) append_waiting(rows.waiting);
      offsets.push_back(offsets.back() + static_cast<int64_t>(rows.ids.size()));
      waiting.push_back(waiting.back() + static_cast<int64_t>(rows.waiting.ids.size()));
    }
    file.write<int64_t>(group + "/bucket_offsets", offsets);
    if (waits) file.write<int64_t>(group + waiting_offsets, waiting);
  }
  file.close();
}

namespace {

bool is_kept(const TableConfig& table, uint8_t idle) {
  return table.keep_runs == 0 || idle < table.keep_runs;
}
uint8_t one_run_older(uint8_t idle) { return static_cast<uint8_t>(std::min(idle + 1, 255)); }

// What a run begins with of another's rows: those that its table keeps, one run older.
void begin_run(TableRows& rows, const TableConfig& table, int64_t state_width) {
  size_t kept = 0;
  const auto move_row = [&](auto& values, size_t from, int64_t width) {
    const auto w = static_cast<std::ptrdiff_t>(width);
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(from) * w;
    if (kept < from) std::copy(begin, begin + w, values.begin() + static_cast<std::ptrdiff_t>(kept) * w);
  };
  for (size_t i = 0; i < rows.ids.size(); ++i) {
    if (!is_kept(table, rows.idle[i])) continue;
    move_row(rows.ids, i, 1);
    move_row(rows.values, i, table.dim);
    move_row(rows.state, i, state_width);
    rows.idle[kept++] = one_run_older(rows.idle[i]);
  }
  rows.ids.resize(kept);
  rows.values.resize(kept * static_cast<size_t>(table.dim));
  rows.state.resize(kept * static_cast<size_t>(state_width));
  rows.idle.resize(kept);
}

void begin_run(WaitingIds& waiting, const TableConfig& table) {
  size_t kept = 0;
  for (size_t i = 0; i < waiting.ids.size(); ++i) {
    if (!is_kept(table, waiting.idle[i])) continue;
    waiting.ids[kept] = waiting.ids[i];
    waiting.steps[kept] = waiting.steps[i];
    waiting.idle[kept++] = one_run_older(waiting.idle[i]);
  }
  waiting.ids.resize(kept);
  waiting.steps.resize(kept);
  waiting.idle.resize(kept);
}

// Each id of buckets [first, last) is one that the table may hold, in its own bucket.
void check_ids(const Hdf5File& file, const std::string& object, const TableConfig& table,
               const std::vector<int64_t>& offsets, int64_t begin, std::span<const int64_t> ids) {
  auto bucket = std::upper_bound(offsets.begin(), offsets.end(), begin) - offsets.begin() - 1;
  for (size_t i = 0; i < ids.size(); ++i) {
    const int64_t row = begin + static_cast<int64_t>(i);
    while (row >= offsets[static_cast<size_t>(bucket) + 1]) ++bucket;
    if (ids[i] < 0 || (table.capacity > 0 && ids[i] >= table.capacity) || bucket_of(ids[i]) != bucket)
      throw UserError(str(file.path(), ": ", object, ": row ", row, ": found ", ids[i],
                          ", expected an id of bucket ", bucket));
  }
}

// Of buckets [first, last).
void read_waiting(const Hdf5File& file, EmbeddingCollection& tables, int64_t table, int64_t first,
                  int64_t last, TableUse use) {
  const TableConfig& config = tables.tables()[static_cast<size_t>(table)];
  const std::string group = "/" + config.name;
  if (!file.exists(group + waiting_offsets)) return;
  const auto offsets = read_bucket_offsets(file, group + waiting_offsets);
  for (const char* column : {waiting_ids, waiting_steps, waiting_idle})
    check_shape(file, group + column, offsets.back(), 0);
  const int64_t end = offsets[static_cast<size_t>(last)];
  for (int64_t begin = offsets[static_cast<size_t>(first)]; begin < end; begin += block_waiting) {
    const int64_t block_end = std::min(end, begin + block_waiting);
    TableRows rows;
    rows.waiting = {file.read<int64_t>(group + waiting_ids, begin, block_end),
                    file.read<uint8_t>(group + waiting_steps, begin, block_end),
                    file.read<uint8_t>(group + waiting_idle, begin, block_end)};
    check_ids(file, group + waiting_ids, config, offsets, begin, rows.waiting.ids);
    for (const uint8_t steps : rows.waiting.steps)
      if (steps < 1 || steps > 254)
        throw UserError(
            str(file.path(), ": ", group, waiting_steps, ": found ", int{steps}, ", expected 1 to 254"));
    if (use == TableUse::begin) begin_run(rows.waiting, config);
    tables.load_rows(table, rows);
  }
}

}  // namespace

void read_tables(const std::string& path, EmbeddingCollection& tables, int rank, int ranks, TableUse use) {
  Hdf5File file(path, Hdf5File::Mode::read);
  int64_t first = 0, last = 0;  // buckets owned here
  while (first < virtual_buckets && owner_of(first, ranks) != rank) ++first;
  for (last = first; last < virtual_buckets && owner_of(last, ranks) == rank;) ++last;

  for (size_t t = 0; t < tables.tables().size(); ++t) {
    const auto table = static_cast<int64_t>(t);
    const TableConfig& config = tables.tables()[t];
    const std::string group = "/" + config.name;
    const int64_t state_width = tables.state_width(table);
    const auto offsets = read_bucket_offsets(file, group + "/bucket_offsets");
    const bool has_idle = file.exists(group + "/idle");  // not in files of before
    check_shape(file, group + "/id", offsets.back(), 0);
    check_shape(file, group + "/value", offsets.back(), config.dim);
    if (state_width > 0) check_shape(file, group + "/state", offsets.back(), state_width);
    if (has_idle) check_shape(file, group + "/idle", offsets.back(), 0);
    const int64_t block_rows = std::max<int64_t>(1, block_values / (config.dim + state_width));
    for (int64_t bucket = first; bucket < last;) {
      const int64_t begin_bucket = bucket;
      const int64_t begin = offsets[static_cast<size_t>(begin_bucket)];
      do ++bucket;
      while (bucket < last && offsets[static_cast<size_t>(bucket) + 1] - begin <= block_rows);
      const int64_t end = offsets[static_cast<size_t>(bucket)];
      if (begin == end) continue;
      TableRows rows;
      rows.ids = file.read<int64_t>(group + "/id", begin, end);
      check_ids(file, group + "/id", config, offsets, begin, rows.ids);
      rows.values = read_values(file, group + "/value", begin, end);
      if (state_width > 0) rows.state = file.read<float>(group + "/state", begin, end);
      if (has_idle)
        rows.idle = file.read<uint8_t>(group + "/idle", begin, end);
      else
        rows.idle.resize(rows.ids.size());
      if (use == TableUse::begin) begin_run(rows, config, state_width);
      tables.load_rows(table, rows);
    }
    if (use != TableUse::read) read_waiting(file, tables, table, first, last, use);
  }
}

}  // namespace lime
