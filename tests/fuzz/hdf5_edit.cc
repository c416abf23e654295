#include "tests/fuzz/hdf5_edit.h"

#include <hdf5.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace lime::fuzz {
namespace {

enum class Edit : uint8_t { number, shape, remove, group, attribute, attribute_list, attribute_gone };
constexpr uint64_t edits = 7;

std::vector<std::string> columns_of(hid_t file) {
  std::vector<std::string> names;
  auto visit = [](hid_t, const char* name, const auto* info, void* out) -> herr_t {
    if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
#if H5_VERSION_GE(1, 12, 0)
  H5Ovisit3(file, H5_INDEX_NAME, H5_ITER_INC, visit, &names, H5O_INFO_BASIC);
#else
  H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, visit, &names, H5O_INFO_BASIC);
#endif
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> attributes_of(hid_t file) {
  std::vector<std::string> names;
  auto visit = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, &names);
  return names;
}

void set_number(hid_t file, const std::string& name, uint64_t row, int64_t number) {
  const hid_t column = H5Dopen2(file, name.c_str(), H5P_DEFAULT), space = H5Dget_space(column);
  constexpr hssize_t most =
      100'000;  // a change before this one may have made 2^60 of them, or more than can be said
  const hssize_t points = H5Sget_simple_extent_npoints(space);
  const auto values = static_cast<size_t>(0 <= points && points <= most ? points : 0);
  std::vector<double> reals(values);
  std::vector<int64_t> integers(values);
  const hid_t type = H5Dget_type(column);
  if (values > 0 && H5Tget_class(type) == H5T_FLOAT) {
    H5Dread(column, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, reals.data());
    reals[row % values] =
        row % 3 == 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(number);
    H5Dwrite(column, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, reals.data());
  } else if (values > 0) {
    H5Dread(column, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, integers.data());
    integers[row % values] = number;
    H5Dwrite(column, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, integers.data());
  }
  H5Tclose(type);
  H5Sclose(space);
  H5Dclose(column);
}

void make_column(hid_t file, const std::string& name, uint8_t type_byte, int64_t rows, int64_t columns) {
  const hid_t types[] = {H5T_STD_I64LE, H5T_IEEE_F32LE, H5T_STD_U8LE, H5T_STD_I8LE, H5T_IEEE_F64LE, H5T_C_S1};
  const hsize_t shape[2] = {static_cast<hsize_t>(std::max<int64_t>(rows, 0)),
                            static_cast<hsize_t>(std::max<int64_t>(columns, 1))},
                chunk[2] = {1, 1};
  const int rank = columns < 0 ? 1 : 2;
  const hid_t space = columns == 0 ? H5Screate(H5S_NULL) : H5Screate_simple(rank, shape, nullptr),
              layout = H5Pcreate(H5P_DATASET_CREATE);
  if (columns != 0) H5Pset_chunk(layout, rank, chunk);
  H5Dclose(H5Dcreate2(file, name.c_str(), types[type_byte % std::size(types)], space, H5P_DEFAULT, layout,
                      H5P_DEFAULT));
  H5Pclose(layout);
  H5Sclose(space);
}

void set_attribute(hid_t file, const std::string& name, std::vector<int64_t> values, bool list) {
  H5Adelete(file, name.c_str());
  const hsize_t count = values.size();
  const hid_t space = list ? H5Screate_simple(1, &count, nullptr) : H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file, name.c_str(), H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, H5T_NATIVE_INT64, values.data());
  H5Aclose(attribute);
  H5Sclose(space);
}

}  // namespace

std::string edited(const std::string& whole, Input& changes) {
  const std::string path = scratch_file("edited.h5", whole);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, access);
  for (int i = 0; i < 6 && !changes.empty(); ++i) {
    const auto edit = static_cast<Edit>(changes.byte() % edits);
    const auto names = columns_of(file), attributes = attributes_of(file);
    const uint8_t which = changes.byte(), more = changes.byte();
    const std::string name = names.empty() ? "/x" : names[which % names.size()],
                      attribute = attributes.empty() ? "x" : attributes[which % attributes.size()];
    switch (edit) {
      case Edit::number:
        if (!names.empty()) set_number(file, name, more, changes.number());
        break;
      case Edit::shape: {
        const int64_t rows = changes.number(), columns = changes.number();
        H5Ldelete(file, name.c_str(), H5P_DEFAULT);
        make_column(file, name, more, rows, columns);
        break;
      }
      case Edit::remove:
      case Edit::group:
        H5Ldelete(file, name.c_str(), H5P_DEFAULT);
        if (edit == Edit::group)
          H5Gclose(H5Gcreate2(file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        break;
      case Edit::attribute:
        set_attribute(file, attribute, {changes.number()}, false);
        break;
      case Edit::attribute_list:
        set_attribute(file, attribute, std::vector<int64_t>(size_t{more}, changes.number()), true);
        break;
      case Edit::attribute_gone:
        H5Adelete(file, attribute.c_str());
        break;
    }
  }
  H5Eclear2(H5E_DEFAULT);
  H5Fclose(file);
  H5Pclose(access);
  return read_whole(path);
}

std::string number_at(uint8_t column, uint8_t row, uint8_t number) {
  return {static_cast<char>(Edit::number), static_cast<char>(column), static_cast<char>(row),
          static_cast<char>(number)};
}

std::string reshaped(uint8_t column, uint8_t type, uint8_t rows, uint8_t columns) {
  return {static_cast<char>(Edit::shape), static_cast<char>(column), static_cast<char>(type),
          static_cast<char>(rows), static_cast<char>(columns)};
}

std::string changed_file(const std::string& whole, Input& changes) {
  return changes.byte() % 2 == by_bytes ? damaged(whole, changes) : edited(whole, changes);
}

}  // namespace lime::fuzz
