#include "io/hdf5_columns.h"

#include <algorithm>
#include <filesystem>

namespace lime {
namespace {

bool is_float(H5Type type) { return type >= H5Type::f32; }

}  // namespace

Hdf5File::Impl::Column& Hdf5File::Impl::column(const std::string& object) {
  auto found = columns.find(object);
  if (found != columns.end()) return found->second;
  // Closed again before it is opened as a column: an open dataset keeps the cache it was opened with.
  if (H5Iget_type(open_object(object, false)) != H5I_DATASET) fail(object, "is a group, expected a dataset");

  Column c;
  // Rows are read in order, a window at a time: a cache of one chunk saves decoding a chunk twice.
  Hdf5Handle access = own(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, object, "cannot open");
  H5Pset_chunk_cache(access, 11, size_t{1} << 20, 1.0);
  c.dataset = own(H5Dopen2(file, object.c_str(), access), H5Dclose, object, "cannot open");
  Hdf5Handle type = own(H5Dget_type(c.dataset), H5Tclose, object, "cannot read its type");
  const std::optional<H5Type> known = hdf5_stored_type(type);
  if (!known) fail(object, "is not a column of integers or floats");
  c.type = *known;
  Hdf5Handle space = own(H5Dget_space(c.dataset), H5Sclose, object, "cannot read its shape");
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank != 1 && rank != 2) fail(object, str("has ", rank, " dimensions, expected 1 or 2"));
  c.shape.resize(static_cast<size_t>(rank));
  H5Sget_simple_extent_dims(space, c.shape.data(), nullptr);
  Hdf5Handle layout = own(H5Dget_create_plist(c.dataset), H5Pclose, object, "cannot read its layout");
  hsize_t chunk[2] = {0, 0};
  if (H5Pget_layout(layout) == H5D_CHUNKED) H5Pget_chunk(layout, rank, chunk);
  c.chunk_rows = chunk[0];
  if (mode == Mode::read) check_size(object, c);
  return columns.emplace(object, std::move(c)).first->second;
}

// Values that the file has no room for are no values: a number in it is wrong. Who reads them would ask for
// more memory than there is, or be at it for hours.
void Hdf5File::Impl::check_size(const std::string& object, const Column& c) const {
  constexpr uint64_t most_compressed = 1100;  // deflate makes 1 byte of no more than 1032
  uint64_t bytes = size_of(c.type);
  bool fits = true;
  for (const hsize_t n : c.shape) fits = fits && !__builtin_mul_overflow(bytes, uint64_t{n}, &bytes);
  std::error_code status;
  const uint64_t size = std::filesystem::file_size(path, status);
  if (fits && (status || bytes <= size)) return;
  const uint64_t stored = std::min<uint64_t>(size, H5Dget_storage_size(c.dataset));
  if (!fits || c.chunk_rows == 0 || bytes / most_compressed > stored)
    fail(object,
         str("says that it has ", c.shape[0], " rows", c.shape.size() > 1 ? str(" of ", c.shape[1]) : "",
             ", found ", stored, " bytes of them in the file"));
}

void Hdf5File::Impl::transfer(const std::string& object, const Column& c, hsize_t begin, hsize_t end,
                              H5Type memory, void* out) {
  const hsize_t start[2] = {begin, 0}, count[2] = {end - begin, c.width()};
  const int rank = static_cast<int>(c.shape.size());
  Hdf5Handle from = own(H5Dget_space(c.dataset), H5Sclose, object, "cannot read");
  Hdf5Handle to = own(H5Screate_simple(rank, count, nullptr), H5Sclose, object, "cannot read");
  checked(H5Sselect_hyperslab(from, H5S_SELECT_SET, start, nullptr, count, nullptr), object, "cannot read");
  const auto rows = str("cannot read rows [", begin, ", ", end, ") of ", c.shape[0]);
  checked(H5Dread(c.dataset, hdf5_memory_type(memory), to, from, H5P_DEFAULT, out), object, rows.c_str());
}

void Hdf5File::Impl::check_rows(const std::string& object, int64_t first, int64_t last) {
  const Column& c = column(object);
  if (first < 0 || last < first || static_cast<hsize_t>(last) > c.shape[0])
    fail(object, str("has ", c.shape[0], " rows, expected rows [", first, ", ", last, ")"));
}

void Hdf5File::Impl::read(const std::string& object, int64_t first, int64_t last, H5Type memory, void* out) {
  Column& c = column(object);
  flush(object, c, true);
  check_rows(object, first, last);
  const auto begin = static_cast<hsize_t>(first), end = static_cast<hsize_t>(last);
  if (is_float(c.type) && !is_float(memory))
    fail(object, str("holds ", to_string(c.type), ", expected integers"));
  if (begin == end) return;
  try {
    transfer(object, c, begin, end, memory, out);
  } catch (const UserError&) {  // again chunk by chunk, to name the broken one
    for (hsize_t row = begin, next; c.chunk_rows > 0 && row < end; row = next) {
      next = std::min(end, (row / c.chunk_rows + 1) * c.chunk_rows);
      transfer(object, c, row, next, memory, out);
    }
    throw;
  }
}

Hdf5File::Impl::Column& Hdf5File::Impl::plan(const std::string& object, H5Type type, int64_t cols,
                                             const H5Options& options) {
  if (mode != Mode::create) fail(object, "the file is open for reading");
  if (exists(object)) fail(object, "is there already");
  make_groups(object);
  Column c;
  c.type = type;
  c.options = options;
  c.shape = {0};
  if (cols > 0) c.shape.push_back(static_cast<hsize_t>(cols));
  const auto budget = static_cast<size_t>(std::max<int64_t>(options.chunk_bytes, 1));
  c.chunk_rows = std::max<hsize_t>(budget / c.row_bytes(), 1);
  return columns.insert_or_assign(object, std::move(c)).first->second;
}

void Hdf5File::Impl::make(const std::string& object, Column& c, std::optional<hsize_t> rows) {
  const int rank = static_cast<int>(c.shape.size());
  c.shape[0] = rows.value_or(0);
  if (rows) c.chunk_rows = std::clamp<hsize_t>(*rows, 1, c.chunk_rows);
  const hsize_t chunk[2] = {c.chunk_rows, c.width()};
  const hsize_t limit[2] = {rows.value_or(H5S_UNLIMITED), c.width()};
  Hdf5Handle space = own(H5Screate_simple(rank, c.shape.data(), limit), H5Sclose, object, "cannot create");
  Hdf5Handle layout = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, object, "cannot create");
  H5Pset_obj_track_times(layout, false);
  if (rows != hsize_t{0}) {
    checked(H5Pset_chunk(layout, rank, chunk), object, "cannot create");
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
    if (c.options.compression > 0) {
      checked(H5Pset_shuffle(layout), object, "cannot create");
      checked(H5Pset_deflate(layout, static_cast<unsigned>(c.options.compression)), object, "cannot create");
    }
    if (c.options.checksum) checked(H5Pset_fletcher32(layout), object, "cannot create");
  }
  Hdf5Handle access = own(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, object, "cannot create");
  H5Pset_chunk_cache(access, 1, 0, 1.0);  // chunks are written whole, so nothing is to be kept
  const hid_t made =
      H5Dcreate2(file, object.c_str(), hdf5_file_type(c.type), space, H5P_DEFAULT, layout, access);
  c.dataset = own(made, H5Dclose, object, "cannot create");
}

void Hdf5File::Impl::make_whole(const std::string& object, Column& c, hsize_t rows) {
  c.shape[0] = rows;
  c.chunk_rows = 0;
  const int rank = static_cast<int>(c.shape.size());
  Hdf5Handle space = own(H5Screate_simple(rank, c.shape.data(), nullptr), H5Sclose, object, "cannot create");
  Hdf5Handle layout = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, object, "cannot create");
  H5Pset_obj_track_times(layout, false);
  H5Pset_layout(layout, H5D_CONTIGUOUS);
  H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
  const hid_t made =
      H5Dcreate2(file, object.c_str(), hdf5_file_type(c.type), space, H5P_DEFAULT, layout, H5P_DEFAULT);
  c.dataset = own(made, H5Dclose, object, "cannot create");
}

void Hdf5File::Impl::put(const std::string& object, Column& c, hsize_t begin, hsize_t rows,
                         const void* data) {
  const hsize_t start[2] = {begin, 0}, count[2] = {rows, c.width()};
  Hdf5Handle to = own(H5Dget_space(c.dataset), H5Sclose, object, "cannot write");
  const int rank = static_cast<int>(c.shape.size());
  Hdf5Handle from = own(H5Screate_simple(rank, count, nullptr), H5Sclose, object, "cannot write");
  checked(H5Sselect_hyperslab(to, H5S_SELECT_SET, start, nullptr, count, nullptr), object, "cannot write");
  checked(H5Dwrite(c.dataset, hdf5_memory_type(c.type), from, to, H5P_DEFAULT, data), object, "cannot write");
}

void Hdf5File::Impl::flush(const std::string& object, Column& c, bool all) {
  const size_t rows = c.pending.size() / c.row_bytes();
  const size_t take = all ? rows : rows - rows % c.chunk_rows;
  if (c.dataset < 0) make(object, c, std::nullopt);
  if (take == 0) return;
  const hsize_t begin = c.shape[0];
  c.shape[0] += take;
  checked(H5Dset_extent(c.dataset, c.shape.data()), object, "cannot write");
  put(object, c, begin, take, c.pending.data());
  c.pending.erase(c.pending.begin(), c.pending.begin() + static_cast<std::ptrdiff_t>(take * c.row_bytes()));
}

void Hdf5File::Impl::finish(const std::string& object, Column& c) {
  if (c.dataset >= 0) return flush(object, c, true);
  const size_t rows = c.pending.size() / c.row_bytes();
  make(object, c, rows);
  if (rows > 0) put(object, c, 0, rows, c.pending.data());
  c.pending.clear();
}

}  // namespace lime
