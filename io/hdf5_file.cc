#include "io/hdf5_file.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "io/hdf5_columns.h"
#include "runtime/durable_file.h"

namespace lime {
namespace {

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
  else if constexpr (std::is_same_v<T, bf16>)
    return H5Type::bf16;
  else
    return H5Type::f64;
}

std::string normal(const std::string& object) {
  return object.empty() || object[0] != '/' ? "/" + object : object;
}

// HDF5 then locks what it creates, whatever it is told, and would meet the lock of a claim.
bool locks_by_environment() {
  const char* asked = std::getenv("HDF5_USE_FILE_LOCKING");
  const std::string_view locks = asked ? asked : "";
  return locks == "TRUE" || locks == "1" || locks == "BEST_EFFORT";
}

}  // namespace

void Hdf5File::Impl::fail(const std::string& object, const std::string& what) const {
  throw UserError(str(path, ": ", object.empty() ? "" : object + ": ", what));
}

Hdf5Handle Hdf5File::Impl::own(hid_t id, Hdf5Handle::Closer closer, const std::string& object,
                               const char* action) const {
  return Hdf5Handle(checked(id, object, action), closer);
}

bool Hdf5File::Impl::exists(const std::string& object) const {
  if (object == "/" || columns.count(object)) return true;
  for (size_t end = 1; end != std::string::npos;) {  // every group on the way must be there too
    end = object.find('/', end + 1);
    const std::string link = object.substr(0, end);
    if (checked(H5Lexists(file, link.c_str(), H5P_DEFAULT), object, "cannot look up") == 0) return false;
  }
  return true;
}

void Hdf5File::Impl::make_groups(const std::string& object) {
  for (size_t end = object.find('/', 1); end != std::string::npos; end = object.find('/', end + 1)) {
    const std::string group = object.substr(0, end);
    if (exists(group)) continue;
    Hdf5Handle timeless = own(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, group, "cannot create");
    H5Pset_obj_track_times(timeless, false);  // the same rows give the same bytes
    own(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, timeless, H5P_DEFAULT), H5Gclose, group,
        "cannot create");
  }
}

Hdf5Handle Hdf5File::Impl::open_object(const std::string& object, bool make) {
  if (make && !exists(object)) make_groups(object + "/");
  if (!exists(object)) fail(object, "missing from the file");
  return own(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose, object, "cannot open");
}

void Hdf5File::Impl::set_attribute(const std::string& object, const std::string& name, hid_t type,
                                   const void* value) {
  const std::string label = object + "@" + name;
  Hdf5Handle owner = open_object(object, true);
  if (H5Aexists(owner, name.c_str()) > 0) checked(H5Adelete(owner, name.c_str()), label, "cannot replace");
  Hdf5Handle space = own(H5Screate(H5S_SCALAR), H5Sclose, label, "cannot write");
  const hid_t made = H5Acreate2(owner, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT);
  Hdf5Handle attribute = own(made, H5Aclose, label, "cannot write");
  checked(H5Awrite(attribute, type, value), label, "cannot write");
}

Hdf5Handle Hdf5File::Impl::open_attribute(const std::string& object, const std::string& name) {
  Hdf5Handle owner = open_object(object, false);
  const std::string label = object + "@" + name;
  if (checked(H5Aexists(owner, name.c_str()), label, "cannot look up") == 0)
    fail(label, "missing from the file");
  Hdf5Handle attribute = own(H5Aopen(owner, name.c_str(), H5P_DEFAULT), H5Aclose, label, "cannot open");
  const Hdf5Handle space = own(H5Aget_space(attribute), H5Sclose, label, "cannot read its shape");
  if (const auto values = H5Sget_simple_extent_npoints(space); values != 1)
    fail(label, str("has ", values, " values, expected one"));
  return attribute;
}

void Hdf5File::Impl::close() {
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
  if (file.close() < 0 && !error) error = UserError(str(path, ": cannot close: ", hdf5_error()));
  H5Eclear2(H5E_DEFAULT);
  if (error) throw *error;
  if (mode == Mode::create) sync_path(path);
}

Hdf5File::Hdf5File(const std::string& path, Mode mode, int64_t alignment) : impl_(std::make_unique<Impl>()) {
  Hdf5Lock lock;
  impl_->path = path;
  impl_->mode = mode;
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // 1.10's format also checksums the metadata, so that a flipped byte outside the data is found too.
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  if (alignment > 1) H5Pset_alignment(access, 1, static_cast<hsize_t>(alignment));
  if (mode == Mode::create) {
    impl_->claim = FileClaim(path);  // before HDF5, which locks a file when it has made it empty
    if (locks_by_environment())
      impl_->claim.release();
    else
      H5Pset_file_locking(access, false, true);
    Hdf5Handle timeless(H5Pcreate(H5P_FILE_CREATE), H5Pclose);  // of the root group
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
  Hdf5Lock lock;
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
  Hdf5Lock lock;
  return impl_->exists(normal(object));
}

std::vector<std::string> Hdf5File::list(const std::string& group) const {
  Hdf5Lock lock;
  const std::string name = normal(group);
  if (!impl_->exists(name)) impl_->fail(name, "missing from the file");
  for (auto& [object, c] : impl_->columns)
    if (c.dataset < 0) impl_->flush(object, c, true);
  std::vector<std::string> names;
  auto visit = [](hid_t, const char* link, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(link);
    return 0;
  };
  // In the order in which they are stored: for another one HDF5 1.10 makes a table, and where a damaged group
  // ends that, it frees links that it has not read.
  const herr_t status = H5Literate_by_name(impl_->file, name.c_str(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr,
                                           visit, &names, H5P_DEFAULT);
  impl_->checked(status, name, "cannot list");
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<int64_t> Hdf5File::shape(const std::string& dataset) const {
  Hdf5Lock lock;
  auto& c = impl_->column(normal(dataset));
  impl_->flush(normal(dataset), c, true);
  return {c.shape.begin(), c.shape.end()};
}

H5Type Hdf5File::type(const std::string& dataset) const {
  Hdf5Lock lock;
  return impl_->column(normal(dataset)).type;
}

template <typename T>
std::vector<T> Hdf5File::read(const std::string& dataset, int64_t begin, int64_t end) const {
  Hdf5Lock lock;
  const auto dims = shape(dataset);
  if (end < 0) end = dims[0];
  impl_->check_rows(normal(dataset), begin, end);  // before memory is asked for
  std::vector<T> values(
      static_cast<size_t>(std::max<int64_t>(end - begin, 0) * (dims.size() > 1 ? dims[1] : 1)));
  impl_->read(normal(dataset), begin, end, h5_type_of<T>(), values.data());
  return values;
}

template <typename T>
void Hdf5File::read_into(const std::string& dataset, int64_t begin, int64_t end, T* out) const {
  Hdf5Lock lock;
  impl_->read(normal(dataset), begin, end, h5_type_of<T>(), out);
}

template <typename T>
void Hdf5File::write(const std::string& dataset, std::span<const T> values, int64_t cols,
                     const H5Options& options) {
  Hdf5Lock lock;
  const std::string name = normal(dataset);
  const size_t rows = values.size() / static_cast<size_t>(std::max<int64_t>(cols, 1));
  auto& c = impl_->plan(name, h5_type_of<T>(), cols, options);
  impl_->make(name, c, rows);
  if (rows > 0) impl_->put(name, c, 0, rows, values.data());
}

template <typename T>
void Hdf5File::append(const std::string& dataset, std::span<const T> values, int64_t cols,
                      const H5Options& options) {
  Hdf5Lock lock;
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
  Hdf5Lock lock;
  const std::string name = normal(dataset);
  LIME_CHECK(rows >= 0, name, ": ", rows, " rows");
  impl_->make_whole(name, impl_->plan(name, h5_type_of<T>(), cols, {}), static_cast<hsize_t>(rows));
}

template <typename T>
void Hdf5File::write_rows(const std::string& dataset, int64_t first, std::span<const T> values) {
  Hdf5Lock lock;
  const std::string name = normal(dataset);
  auto& c = impl_->column(name);
  const auto begin = static_cast<hsize_t>(first), rows = values.size() / c.width();
  LIME_CHECK(c.type == h5_type_of<T>() && values.size() % c.width() == 0 && begin + rows <= c.shape[0], name,
             ": ", values.size(), " values from row ", first, " into ", c.shape[0], " rows of ", c.width(),
             " ", to_string(c.type));
  if (rows > 0) impl_->put(name, c, begin, rows, values.data());
}

int64_t Hdf5File::offset(const std::string& dataset) const {
  Hdf5Lock lock;
  const std::string name = normal(dataset);
  const auto& c = impl_->column(name);
  if (c.shape[0] == 0) return 0;
  const haddr_t at = c.chunk_rows == 0 ? H5Dget_offset(c.dataset) : HADDR_UNDEF;
  if (at == HADDR_UNDEF) impl_->fail(name, "is stored in chunks, expected one piece");
  return static_cast<int64_t>(at);
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name, const std::string& value) {
  Hdf5Lock lock;
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, std::max<size_t>(value.size(), 1));
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  impl_->set_attribute(normal(object), name, type, value.c_str());
}

void Hdf5File::set_attribute(const std::string& object, const std::string& name, int64_t value) {
  Hdf5Lock lock;
  impl_->set_attribute(normal(object), name, H5T_NATIVE_INT64, &value);
}

std::string Hdf5File::attribute(const std::string& object, const std::string& name) const {
  Hdf5Lock lock;
  const std::string label = normal(object) + "@" + name;
  Hdf5Handle attribute = impl_->open_attribute(normal(object), name);
  Hdf5Handle type = impl_->own(H5Aget_type(attribute), H5Tclose, label, "cannot read");
  if (H5Tget_class(type) != H5T_STRING) impl_->fail(label, "is not a string");
  if (H5Tis_variable_str(type) > 0) {  // as h5py writes them
    char* text = nullptr;
    impl_->checked(H5Aread(attribute, type, &text), label, "cannot read");
    std::string value = text ? text : "";
    H5free_memory(text);
    return value;
  }
  constexpr size_t most_bytes = size_t{1} << 20;
  if (H5Tget_size(type) > most_bytes)
    impl_->fail(label, str("is a string of ", H5Tget_size(type), " bytes, expected at most ", most_bytes));
  std::string value(H5Tget_size(type), '\0');
  impl_->checked(H5Aread(attribute, type, value.data()), label, "cannot read");
  value.resize(std::strlen(value.c_str()));
  return value;
}

int64_t Hdf5File::integer_attribute(const std::string& object, const std::string& name) const {
  Hdf5Lock lock;
  const std::string label = normal(object) + "@" + name;
  Hdf5Handle attribute = impl_->open_attribute(normal(object), name);
  Hdf5Handle type = impl_->own(H5Aget_type(attribute), H5Tclose, label, "cannot read");
  if (H5Tget_class(type) != H5T_INTEGER) impl_->fail(label, "is not an integer");
  int64_t value = 0;
  impl_->checked(H5Aread(attribute, H5T_NATIVE_INT64, &value), label, "cannot read");
  return value;
}

bool Hdf5File::has_attribute(const std::string& object, const std::string& name) const {
  Hdf5Lock lock;
  return impl_->exists(normal(object)) &&
         H5Aexists_by_name(impl_->file, normal(object).c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

void Hdf5File::close() {
  Hdf5Lock lock;
  impl_->close();
  impl_->claim.release();
}

void Hdf5File::close_as(const std::string& path) {
  Hdf5Lock lock;
  impl_->close();
  std::error_code error;
  std::filesystem::rename(impl_->path, path, error);
  if (error) throw UserError(str(path, ": ", error.message()));
  impl_->claim.release();
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
LIME_INSTANTIATE(bf16)
#undef LIME_INSTANTIATE

}  // namespace lime
