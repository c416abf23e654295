#include "io/hdf5_file.h"

#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "runtime/error.h"
#include "runtime/sync_path.h"

namespace lime {
namespace {

// HDF5 may be built without thread safety, and where it has it, it is one global lock as well.
std::recursive_mutex& library_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

class Locked {
 public:
  Locked() : lock_(library_mutex()) {
    // After a file that could not be closed (a full disk), HDF5 1.10's clean-up at exit crashes; Hdf5File
    // closes its own.
    static const bool without_exit_handler = H5dont_atexit() >= 0;
    static_cast<void>(without_exit_handler);
    static thread_local bool silenced = false;  // the error stack, and printing it, is per thread
    if (!silenced) H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    silenced = true;
  }

 private:
  std::lock_guard<std::recursive_mutex> lock_;
};

class Handle {
 public:
  using Closer = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Closer closer) : id_(id), closer_(closer) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), closer_(other.closer_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(closer_, other.closer_);
    return *this;
  }
  ~Handle() { close(); }
  herr_t close() { return id_ >= 0 ? closer_(std::exchange(id_, -1)) : 0; }
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = -1;
  Closer closer_ = nullptr;
};

// The innermost entry of HDF5's error stack that says something, on one line.
std::string library_error() {
  std::string text;
  auto visit = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
    auto& reason = *static_cast<std::string*>(out);
    if (reason.empty() && entry->desc && *entry->desc) reason = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, visit, &text);
  H5Eclear2(H5E_DEFAULT);
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  // "file write failed: time = ..., filename = ..., errno = 28, error message = 'No space left on device',
  // buf = ..."
  const std::string cause = "error message = '";
  if (const size_t at = text.find(cause), details = text.find(": time =");
      at != std::string::npos && details < at) {
    const size_t begin = at + cause.size();
    text = text.substr(0, details) + ": " + text.substr(begin, text.find('\'', begin) - begin);
  }
  if (text.find("Fletcher32") != std::string::npos) text = "checksum error (" + text + ")";
  return text.empty() ? "HDF5 gave no reason" : text;
}

const char* to_string(H5Type type) {
  static constexpr const char* names[] = {"i8", "u8", "i32", "i64", "f32", "f64", "f16"};
  return names[static_cast<int>(type)];
}

template <typename T>
constexpr H5Type h5_type_of() {
  if constexpr (std::is_same_v<T, int8_t>)
    return H5Type::i8;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return H5Type::u8;
  else if constexpr (std::is_same_v<T, int32_t>)
    return H5Type::i32;
  else if constexpr (std::is_same_v<T, int64_t>)
    return H5Type::i64;
  else if constexpr (std::is_same_v<T, float>)
    return H5Type::f32;
  else if constexpr (std::is_same_v<T, f16>)
    return H5Type::f16;
  else
    return H5Type::f64;
}

// IEEE's binary16, as h5py and NumPy know it: HDF5 1.10 has no name for it.
hid_t half_type() {
  static const hid_t type = [] {
    const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Tset_ebias(half, 15);
    return half;
  }();
  return type;
}

hid_t memory_type(H5Type type) {
  switch (type) {
    case H5Type::i8:
      return H5T_NATIVE_INT8;
    case H5Type::u8:
      return H5T_NATIVE_UINT8;
    case H5Type::i32:
      return H5T_NATIVE_INT32;
    case H5Type::i64:
      return H5T_NATIVE_INT64;
    case H5Type::f32:
      return H5T_NATIVE_FLOAT;
    case H5Type::f16:
      return half_type();
    default:
      return H5T_NATIVE_DOUBLE;
  }
}

hid_t file_type(H5Type type) {
  switch (type) {
    case H5Type::i8:
      return H5T_STD_I8LE;
    case H5Type::u8:
      return H5T_STD_U8LE;
    case H5Type::i32:
      return H5T_STD_I32LE;
    case H5Type::i64:
      return H5T_STD_I64LE;
    case H5Type::f32:
      return H5T_IEEE_F32LE;
    case H5Type::f16:
      return half_type();
    default:
      return H5T_IEEE_F64LE;
  }
}

bool is_float(H5Type type) { return type >= H5Type::f32; }
size_t size_of(H5Type type) {
  constexpr size_t bytes[] = {1, 1, 4, 8, 4, 8, 2};
  return bytes[static_cast<size_t>(type)];
}

std::string normal(const std::string& object) {
  return object.empty() || object[0] != '/' ? "/" + object : object;
}

}  // namespace

struct Hdf5File::Impl {
  struct Column {
    Handle dataset;
    H5Type type = H5Type::i64;
    std::vector<hsize_t> shape;
    hsize_t chunk_rows = 0;
    H5Options options;
    std::vector<char> pending;  // appended rows that do not fill a chunk yet
    hsize_t width() const { return shape.size() > 1 ? shape[1] : 1; }
    size_t row_bytes() const { return size_of(type) * width(); }
  };
  std::string path;
  Mode mode = Mode::read;
  Handle file;
  std::map<std::string, Column> columns;

  [[noreturn]] void fail(const std::string& object, const std::string& what) const {
    throw UserError(str(path, ": ", object.empty() ? "" : object + ": ", what));
  }
  // Checks the result of a library call.
  template <typename Id>
  Id checked(Id result, const std::string& object, const char* action) const {
    if (result < 0) fail(object, str(action, ": ", library_error()));
    return result;
  }
  Handle own(hid_t id, Handle::Closer closer, const std::string& object, const char* action) const {
    return Handle(checked(id, object, action), closer);
  }

  bool exists(const std::string& object) const {
    if (object == "/" || columns.count(object)) return true;
    for (size_t end = 1; end != std::string::npos;) {  // every group on the way must be there too
      end = object.find('/', end + 1);
      const std::string link = object.substr(0, end);
      if (checked(H5Lexists(file, link.c_str(), H5P_DEFAULT), object, "cannot look up") == 0) return false;
    }
    return true;
  }

  Column& column(const std::string& object) {
    auto found = columns.find(object);
    if (found != columns.end()) return found->second;
    if (!exists(object)) fail(object, "missing from the file");
    H5O_info_t info;
    checked(H5Oget_info_by_name2(file, object.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT), object,
            "cannot open");
    if (info.type != H5O_TYPE_DATASET) fail(object, "is a group, expected a dataset");

    Column c;
    // Rows are read in order, a window at a time: a cache of one chunk saves decoding a chunk twice.
    Handle access = own(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, object, "cannot open");
    H5Pset_chunk_cache(access, 11, size_t{1} << 20, 1.0);
    c.dataset = own(H5Dopen2(file, object.c_str(), access), H5Dclose, object, "cannot open");
    Handle type = own(H5Dget_type(c.dataset), H5Tclose, object, "cannot read its type");
    const size_t size = H5Tget_size(type);
    const H5T_class_t cls = H5Tget_class(type);
    if (cls == H5T_FLOAT && (size == 4 || size == 8))
      c.type = size == 4 ? H5Type::f32 : H5Type::f64;
    else if (H5Tequal(type, half_type()) > 0)
      c.type = H5Type::f16;
    else if (cls == H5T_INTEGER && size == 1)
      c.type = H5Tget_sign(type) == H5T_SGN_NONE ? H5Type::u8 : H5Type::i8;
    else if (cls == H5T_INTEGER && size <= 4)
      c.type = H5Type::i32;
    else if (cls == H5T_INTEGER)
      c.type = H5Type::i64;
    else
      fail(object, "is not a column of integers or floats");
    Handle space = own(H5Dget_space(c.dataset), H5Sclose, object, "cannot read its shape");
    const int rank = H5Sget_simple_extent_ndims(space);
    if (rank != 1 && rank != 2) fail(object, str("has ", rank, " dimensions, expected 1 or 2"));
    c.shape.resize(static_cast<size_t>(rank));
    H5Sget_simple_extent_dims(space, c.shape.data(), nullptr);
    Handle layout = own(H5Dget_create_plist(c.dataset), H5Pclose, object, "cannot read its layout");
    hsize_t chunk[2] = {0, 0};
    if (H5Pget_layout(layout) == H5D_CHUNKED) H5Pget_chunk(layout, rank, chunk);
    c.chunk_rows = chunk[0];
    return columns.emplace(object, std::move(c)).first->second;
  }

  void transfer(const std::string& object, const Column& c, hsize_t begin, hsize_t end, H5Type memory,
                void* out) {
    const hsize_t start[2] = {begin, 0}, count[2] = {end - begin, c.width()};
    const int rank = static_cast<int>(c.shape.size());
    Handle from = own(H5Dget_space(c.dataset), H5Sclose, object, "cannot read");
    Handle to = own(H5Screate_simple(rank, count, nullptr), H5Sclose, object, "cannot read");
    checked(H5Sselect_hyperslab(from, H5S_SELECT_SET, start, nullptr, count, nullptr), object, "cannot read");
    const auto rows = str("cannot read rows [", begin, ", ", end, ") of ", c.shape[0]);
    checked(H5Dread(c.dataset, memory_type(memory), to, from, H5P_DEFAULT, out), object, rows.c_str());
  }

  void read(const std::string& object, int64_t first, int64_t last, H5Type memory, void* out) {
    Column& c = column(object);
    flush(object, c, true);
    const auto begin = static_cast<hsize_t>(first), end = static_cast<hsize_t>(last);
    if (first < 0 || last < first || end > c.shape[0])
      fail(object, str("has ", c.shape[0], " rows, expected rows [", first, ", ", last, ")"));
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

  void make_groups(const std::string& object) {
    for (size_t end = object.find('/', 1); end != std::string::npos; end = object.find('/', end + 1)) {
      const std::string group = object.substr(0, end);
      if (exists(group)) continue;
      Handle timeless = own(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, group, "cannot create");
      H5Pset_obj_track_times(timeless, false);  // the same rows give the same bytes
      own(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, timeless, H5P_DEFAULT), H5Gclose, group, "cannot create");
    }
  }

  // A column to come: made in the file when its first chunk is full, or at the end, when its size is known.
  Column& plan(const std::string& object, H5Type type, int64_t cols, const H5Options& options) {
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

  // Makes a planned column: of `rows` rows, or, without, one that grows.
  void make(const std::string& object, Column& c, std::optional<hsize_t> rows) {
    const int rank = static_cast<int>(c.shape.size());
    c.shape[0] = rows.value_or(0);
    if (rows) c.chunk_rows = std::clamp<hsize_t>(*rows, 1, c.chunk_rows);
    const hsize_t chunk[2] = {c.chunk_rows, c.width()};
    const hsize_t limit[2] = {rows.value_or(H5S_UNLIMITED), c.width()};
    Handle space = own(H5Screate_simple(rank, c.shape.data(), limit), H5Sclose, object, "cannot create");
    Handle layout = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, object, "cannot create");
    H5Pset_obj_track_times(layout, false);
    if (rows != hsize_t{0}) {
      checked(H5Pset_chunk(layout, rank, chunk), object, "cannot create");
      H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
      if (c.options.compression > 0) {
        checked(H5Pset_shuffle(layout), object, "cannot create");
        checked(H5Pset_deflate(layout, static_cast<unsigned>(c.options.compression)), object,
                "cannot create");
      }
      if (c.options.checksum) checked(H5Pset_fletcher32(layout), object, "cannot create");
    }
    Handle access = own(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose, object, "cannot create");
    H5Pset_chunk_cache(access, 1, 0, 1.0);  // chunks are written whole, so nothing is to be kept
    const hid_t made =
        H5Dcreate2(file, object.c_str(), file_type(c.type), space, H5P_DEFAULT, layout, access);
    c.dataset = own(made, H5Dclose, object, "cannot create");
  }

  // Makes a planned column of one piece.
  void make_whole(const std::string& object, Column& c, hsize_t rows) {
    c.shape[0] = rows;
    c.chunk_rows = 0;
    const int rank = static_cast<int>(c.shape.size());
    Handle space = own(H5Screate_simple(rank, c.shape.data(), nullptr), H5Sclose, object, "cannot create");
    Handle layout = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, object, "cannot create");
    H5Pset_obj_track_times(layout, false);
    H5Pset_layout(layout, H5D_CONTIGUOUS);
    H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
    const hid_t made =
        H5Dcreate2(file, object.c_str(), file_type(c.type), space, H5P_DEFAULT, layout, H5P_DEFAULT);
    c.dataset = own(made, H5Dclose, object, "cannot create");
  }

  void put(const std::string& object, Column& c, hsize_t begin, hsize_t rows, const void* data) {
    const hsize_t start[2] = {begin, 0}, count[2] = {rows, c.width()};
    Handle to = own(H5Dget_space(c.dataset), H5Sclose, object, "cannot write");
    const int rank = static_cast<int>(c.shape.size());
    Handle from = own(H5Screate_simple(rank, count, nullptr), H5Sclose, object, "cannot write");
    checked(H5Sselect_hyperslab(to, H5S_SELECT_SET, start, nullptr, count, nullptr), object, "cannot write");
    checked(H5Dwrite(c.dataset, memory_type(c.type), from, to, H5P_DEFAULT, data), object, "cannot write");
  }

  // Writes the whole chunks of what is pending, or all of it.
  void flush(const std::string& object, Column& c, bool all) {
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

  void finish(const std::string& object, Column& c) {
    if (c.dataset >= 0) return flush(object, c, true);
    const size_t rows = c.pending.size() / c.row_bytes();
    make(object, c, rows);
    if (rows > 0) put(object, c, 0, rows, c.pending.data());
    c.pending.clear();
  }

  Handle object_for_attribute(const std::string& object, bool make) {
    if (make && !exists(object)) make_groups(object + "/");
    if (!exists(object)) fail(object, "missing from the file");
    return own(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose, object, "cannot open");
  }

  void set_attribute(const std::string& object, const std::string& name, hid_t type, const void* value) {
    const std::string label = object + "@" + name;
    Handle owner = object_for_attribute(object, true);
    if (H5Aexists(owner, name.c_str()) > 0) checked(H5Adelete(owner, name.c_str()), label, "cannot replace");
    Handle space = own(H5Screate(H5S_SCALAR), H5Sclose, label, "cannot write");
    const hid_t made = H5Acreate2(owner, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT);
    Handle attribute = own(made, H5Aclose, label, "cannot write");
    checked(H5Awrite(attribute, type, value), label, "cannot write");
  }

  Handle open_attribute(const std::string& object, const std::string& name) {
    Handle owner = object_for_attribute(object, false);
    const std::string label = object + "@" + name;
    if (checked(H5Aexists(owner, name.c_str()), label, "cannot look up") == 0)
      fail(label, "missing from the file");
    return own(H5Aopen(owner, name.c_str(), H5P_DEFAULT), H5Aclose, label, "cannot open");
  }

  void close() {
    if (file < 0) return;
    std::optional<UserError> error;
    try {
      for (auto& [name, c] : columns) finish(name, c);
      for (auto& [name, c] : columns) checked(c.dataset.close(), name, "cannot write");
      if (mode == Mode::create) checked(H5Fflush(file, H5F_SCOPE_LOCAL), "", "cannot write");
    } catch (const UserError& e) {
      error = e;
    }
    columns.clear();
    if (file.close() < 0 && !error) error = UserError(str(path, ": cannot close: ", library_error()));
    H5Eclear2(H5E_DEFAULT);
    if (error) throw *error;
    if (mode == Mode::create) sync_path(path);
  }
};

Hdf5File::Hdf5File(const std::string& path, Mode mode, int64_t alignment) : impl_(std::make_unique<Impl>()) {
  Locked lock;
  impl_->path = path;
  impl_->mode = mode;
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // 1.10's format also checksums the metadata, so that a flipped byte outside the data is found too.
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  if (alignment > 1) H5Pset_alignment(access, 1, static_cast<hsize_t>(alignment));
  if (mode == Mode::create) {
    Handle timeless(H5Pcreate(H5P_FILE_CREATE), H5Pclose);  // of the root group
    H5Pset_obj_track_times(timeless, false);
    const hid_t made = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, timeless, access);
    impl_->file = impl_->own(made, H5Fclose, "", "cannot create");
    return;
  }
  std::error_code status;
  if (!std::filesystem::is_regular_file(path, status))
    throw UserError(
        str(path, ": ", std::filesystem::exists(path, status) ? "is not a file" : "no such file"));
  if (std::filesystem::file_size(path, status) == 0)
    throw UserError(path + ": is empty, expected an HDF5 file");
  impl_->file =
      impl_->own(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose, "", "cannot open as HDF5");
}

Hdf5File::~Hdf5File() {
  if (!impl_) return;
  Locked lock;
  try {
    impl_->close();
  } catch (const Error&) {  // said in the contract: who wants to know calls close()
  }
}
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

const std::string& Hdf5File::path() const { return impl_->path; }

bool Hdf5File::exists(const std::string& object) const {
  Locked lock;
  return impl_->exists(normal(object));
}

std::vector<std::string> Hdf5File::list(const std::string& group) const {
  Locked lock;
  const std::string name = normal(group);
  if (!impl_->exists(name)) impl_->fail(name, "missing from the file");
  for (auto& [object, c] : impl_->columns)
    if (c.dataset < 0) impl_->flush(object, c, true);
  std::vector<std::string> names;
  auto visit = [](hid_t, const char* link, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(link);
    return 0;
  };
  const herr_t status = H5Literate_by_name(impl_->file, name.c_str(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
                                           visit, &names, H5P_DEFAULT);
  impl_->checked(status, name, "cannot list");
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<int64_t> Hdf5File::shape(const std::string& dataset) const {
  Locked lock;
  auto& c = impl_->column(normal(dataset));
  impl_->flush(normal(dataset), c, true);
  return {c.shape.begin(), c.shape.end()};
}

H5Type Hdf5File::type(const std::string& dataset) const {
  Locked lock;
  return impl_->column(normal(dataset)).type;
}

template <typename T>
std::vector<T> Hdf5File::read(const std::string& dataset, int64_t begin, int64_t end) const {
  Locked lock;
  const auto dims = shape(dataset);
  if (end < 0) end = dims[0];
  std::vector<T> values(
      static_cast<size_t>(std::max<int64_t>(end - begin, 0) * (dims.size() > 1 ? dims[1] : 1)));
  impl_->read(normal(dataset), begin, end, h5_type_of<T>(), values.data());
  return values;
}

template <typename T>
void Hdf5File::read_into(const std::string& dataset, int64_t begin, int64_t end, T* out) const {
  Locked lock;
  impl_->read(normal(dataset), begin, end, h5_type_of<T>(), out);
}

template <typename T>
void Hdf5File::write(const std::string& dataset, std::span<const T> values, int64_t cols,
                     const H5Options& options) {
  Locked lock;
  const std::string name = normal(dataset);
  const size_t rows = values.size() / static_cast<size_t>(std::max<int64_t>(cols, 1));
  auto& c = impl_->plan(name, h5_type_of<T>(), cols, options);
  impl_->make(name, c, rows);
  if (rows > 0) impl_->put(name, c, 0, rows, values.data());
}

template <typename T>
void Hdf5File::append(const std::string& dataset, std::span<const T> values, int64_t cols,
                      const H5Options& options) {
  Locked lock;
  const std::string name = normal(dataset);
  auto found = impl_->columns.find(name);
  const H5Type type = h5_type_of<T>();
  auto& c = found != impl_->columns.end() ? found->second : impl_->plan(name, type, cols, options);
  LIME_CHECK(c.type == type && values.size() % c.width() == 0, name, " holds ", to_string(c.type), "x",
             c.width());
  const auto* bytes = reinterpret_cast<const char*>(values.data());
  c.pending.insert(c.pending.end(), bytes, bytes + values.size_bytes());
  if (c.pending.size() >= c.chunk_rows * c.row_bytes()) impl_->flush(name, c, false);
}

template <typename T>
void Hdf5File::reserve(const std::string& dataset, int64_t rows, int64_t cols) {
  Locked lock;
  const std::string name = normal(dataset);
  LIME_CHECK(rows >= 0, name, ": ", rows, " rows");
  impl_->make_whole(name, impl_->plan(name, h5_type_of<T>(), cols, {}), static_cast<hsize_t>(rows));
}

template <typename T>
void Hdf5File::write_rows(const std::string& dataset, int64_t first, std::span<const T> values) {
  Locked lock;
  const std::string name = normal(dataset);
  auto& c = impl_->column(name);
  const auto begin = static_cast<hsize_t>(first), rows = values.size() / c.width();
  LIME_CHECK(c.type == h5_type_of<T>() && values.size() % c.width() == 0 && begin + rows <= c.shape[0], name,
             ": ", values.size(), " values from row ", first, " into ", c.shape[0], " rows of ", c.width(),
             " ", to_string(c.type));
  if (rows > 0) impl_->put(name, c, begin, rows, values.data());
}

int64_t Hdf5File::offset(const std::string& dataset) const {
  Locked lock;
  const std::string name = normal(dataset);
  const auto& c = impl_->column(name);
  if (c.shape[0] == 0) return 0;
  const haddr_t at = c.chunk_rows == 0 ? H5Dget_offset(c.dataset) : HADDR_UNDEF;
  if (at == HADDR_UNDEF) impl_->fail(name, "is stored in chunks, expected one piece");
  return static_cast<int64_t>(at);
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name, const std::string& value) {
  Locked lock;
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, std::max<size_t>(value.size(), 1));
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  impl_->set_attribute(normal(object), name, type, value.c_str());
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name, int64_t value) {
  Locked lock;
  impl_->set_attribute(normal(object), name, H5T_NATIVE_INT64, &value);
}

std::string Hdf5File::attribute(const std::string& object, const std::string& name) const {
  Locked lock;
  const std::string label = normal(object) + "@" + name;
  Handle attribute = impl_->open_attribute(normal(object), name);
  Handle type = impl_->own(H5Aget_type(attribute), H5Tclose, label, "cannot read");
  if (H5Tget_class(type) != H5T_STRING) impl_->fail(label, "is not a string");
  if (H5Tis_variable_str(type) > 0) {  // as h5py writes them
    char* text = nullptr;
    impl_->checked(H5Aread(attribute, type, &text), label, "cannot read");
    std::string value = text ? text : "";
    H5free_memory(text);
    return value;
  }
  std::string value(H5Tget_size(type), '\0');
  impl_->checked(H5Aread(attribute, type, value.data()), label, "cannot read");
  value.resize(std::strlen(value.c_str()));
  return value;
}

int64_t Hdf5File::integer_attribute(const std::string& object, const std::string& name) const {
  Locked lock;
  const std::string label = normal(object) + "@" + name;
  Handle attribute = impl_->open_attribute(normal(object), name);
  Handle type = impl_->own(H5Aget_type(attribute), H5Tclose, label, "cannot read");
  if (H5Tget_class(type) != H5T_INTEGER) impl_->fail(label, "is not an integer");
  int64_t value = 0;
  impl_->checked(H5Aread(attribute, H5T_NATIVE_INT64, &value), label, "cannot read");
  return value;
}

bool Hdf5File::has_attribute(const std::string& object, const std::string& name) const {
  Locked lock;
  return impl_->exists(normal(object)) &&
         H5Aexists_by_name(impl_->file, normal(object).c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

void Hdf5File::close() {
  Locked lock;
  impl_->close();
}

#define LIME_INSTANTIATE(T)                                                                             \
  template std::vector<T> Hdf5File::read<T>(const std::string&, int64_t, int64_t) const;                \
  template void Hdf5File::read_into<T>(const std::string&, int64_t, int64_t, T*) const;                 \
  template void Hdf5File::write<T>(const std::string&, std::span<const T>, int64_t, const H5Options&);  \
  template void Hdf5File::append<T>(const std::string&, std::span<const T>, int64_t, const H5Options&); \
  template void Hdf5File::reserve<T>(const std::string&, int64_t, int64_t);                             \
  template void Hdf5File::write_rows<T>(const std::string&, int64_t, std::span<const T>);
LIME_INSTANTIATE(int8_t)
LIME_INSTANTIATE(uint8_t)
LIME_INSTANTIATE(int32_t)
LIME_INSTANTIATE(int64_t)
LIME_INSTANTIATE(float)
LIME_INSTANTIATE(double)
LIME_INSTANTIATE(f16)
#undef LIME_INSTANTIATE

}  // namespace lime
