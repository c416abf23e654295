#include "serving/item_cache.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace lime {
namespace {

constexpr const char* format_name = "lime-item-cache";
constexpr int64_t format_version = 2;
constexpr int64_t alignment = 64;  // of ids, rows and scales in the file: a cache line
constexpr const char* ids_object = "/item/id";
constexpr const char* rows_object = "/item/rows";
constexpr const char* scales_object = "/item/scales";

constexpr RowType all_types[] = {RowType::f32, RowType::f16, RowType::i8};

H5Type stored_type(RowType type) {
  return type == RowType::f32 ? H5Type::f32 : type == RowType::f16 ? H5Type::f16 : H5Type::i8;
}

// Calls f with a null pointer of the type that HDF5 stores.
template <typename F>
void for_type(RowType type, F&& f) {
  if (type == RowType::f32) return f(static_cast<float*>(nullptr));
  if (type == RowType::f16) return f(static_cast<f16*>(nullptr));
  f(static_cast<int8_t*>(nullptr));
}

constexpr const char* checksum_name = "content_xxh3";
constexpr const char* features_name = "features_xxh3";  // not there: as ""

// Of ids, rows and scales, each by its digest.
std::string content_checksum(std::span<const int64_t> ids, const Digest& rows, const Digest& scales) {
  Digest of_ids;
  of_ids.add(ids);
  return digest_of(of_ids.hex() + rows.hex() + scales.hex());
}

RowType row_type_of(const Hdf5File& file) {
  try {
    return parse_row_type(file.attribute("/", "type"));
  } catch (const UserError& error) {
    throw UserError(str(file.path(), ": attribute type: ", error.what()));
  }
}

CacheInfo read_info(const Hdf5File& file) {
  if (!file.has_attribute("/", "format") || file.attribute("/", "format") != format_name)
    throw UserError(file.path() + ": is no item cache (lime cache build makes them)");
  if (const int64_t version = file.integer_attribute("/", "version"); version != format_version)
    throw UserError(str(file.path(), ": item cache version ", version, ", this program reads version ",
                        format_version, version < format_version ? "; build it again" : ""));
  CacheInfo info{file.attribute("/", "checkpoint"),      file.attribute("/", "checkpoint_xxh3"),
                 file.attribute("/", "model"),           row_type_of(file),
                 file.integer_attribute("/", "weights"), file.integer_attribute("/", "hidden")};
  if (file.has_attribute("/", features_name)) info.features_xxh3 = file.attribute("/", features_name);
  constexpr int64_t most = int64_t{1} << 32;
  for (const int64_t columns : {info.weights, info.hidden})
    if (columns < 0 || columns > most)
      throw UserError(str(file.path(), ": attributes weights and hidden: found ", info.weights, " and ",
                          info.hidden, ", expected numbers of columns"));
  return info;
}

}  // namespace

const char* to_string(RowType type) {
  return type == RowType::f32 ? "f32" : type == RowType::f16 ? "f16" : "int8";
}

RowType parse_row_type(const std::string& text) {
  for (const RowType type : all_types)
    if (text == to_string(type)) return type;
  throw UserError(str("found item rows of '", text, "', expected f32, f16 or int8"));
}

ItemCacheWriter::ItemCacheWriter(const std::string& path, const CacheInfo& info, std::span<const int64_t> ids)
    : info_(info), ids_(ids.begin(), ids.end()), draft_(path, alignment) {
  Hdf5File& file = draft_.file();
  file.set_attribute("/", "format", std::string(format_name));
  file.set_attribute("/", "version", format_version);
  file.set_attribute("/", "checkpoint", info.checkpoint);
  file.set_attribute("/", "checkpoint_xxh3", info.xxh3);
  file.set_attribute("/", "model", info.model);
  file.set_attribute("/", "type", std::string(to_string(info.type)));
  file.set_attribute("/", "weights", info.weights);
  file.set_attribute("/", "hidden", info.hidden);
  if (!info.features_xxh3.empty()) file.set_attribute("/", features_name, info.features_xxh3);
  const auto count = static_cast<int64_t>(ids.size());
  file.reserve<int64_t>(ids_object, count);
  file.write_rows<int64_t>(ids_object, 0, ids);
  for_type(info.type,
           [&]<typename T>(T*) { file.reserve<T>(rows_object, count, info.weights + info.hidden); });
  if (info.type == RowType::i8) file.reserve<float>(scales_object, count, 2);
}

void ItemCacheWriter::check(int64_t first, const ConstView& rows) const {
  const float limit = info_.type == RowType::f16 ? largest_f16 : std::numeric_limits<float>::max();
  for (int64_t r = 0; r < rows.rows(); ++r) {
    const float* row = rows.row<float>(r);
    const float* bad =
        std::find_if(row, row + rows.cols(), [limit](float x) { return !(std::abs(x) <= limit); });
    if (bad == row + rows.cols()) continue;
    throw UserError(
        str("item ", ids_[static_cast<size_t>(first + r)], ": its row holds ", *bad,
            std::isfinite(*bad) ? ", which f16 cannot store; use f32 or int8" : ", expected finite numbers"));
  }
}

void ItemCacheWriter::write(int64_t first, const ConstView& rows) {
  LIME_CHECK(first == written_, "row ", first, " after ", written_, " rows");
  check(first, rows);
  encoded_.resize(static_cast<size_t>(rows.size()) * size_of(info_.type));
  scales_.resize(static_cast<size_t>(info_.type == RowType::i8 ? 2 * rows.rows() : 0));
  encode_rows(rows, info_.weights, info_.type, encoded_.data(), scales_.data());
  for_type(info_.type, [&]<typename T>(T*) {
    draft_.file().write_rows<T>(
        rows_object, first, {reinterpret_cast<const T*>(encoded_.data()), static_cast<size_t>(rows.size())});
  });
  if (info_.type == RowType::i8) draft_.file().write_rows<float>(scales_object, first, scales_);
  of_rows_.add(std::span<const char>(encoded_));
  of_scales_.add(std::span<const float>(scales_));
  written_ += rows.rows();
}

void ItemCacheWriter::finish() {
  draft_.file().set_attribute("/", checksum_name, content_checksum(ids_, of_rows_, of_scales_));
  draft_.finish();
}

ItemCache::ItemCache(const std::string& path) : path_(path) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  info_ = read_info(file);
  const auto expect = [&](const char* object, H5Type type, const std::vector<int64_t>& shape) {
    if (file.type(object) != type || file.shape(object) != shape)
      throw UserError(str(path, ": ", object, ": is not of the shape and type that the attributes say"));
    return file.offset(object);
  };
  const int64_t count = file.shape(ids_object).front(), columns = info_.weights + info_.hidden;
  const int64_t ids_at = expect(ids_object, H5Type::i64, {count}),
                rows_at = expect(rows_object, stored_type(info_.type), {count, columns}),
                scales_at = info_.type == RowType::i8 ? expect(scales_object, H5Type::f32, {count, 2}) : 0;
  file_ = MappedFile(path);
  const auto at = [&](int64_t offset, int64_t bytes) {
    if (offset % alignment != 0 || offset + bytes > static_cast<int64_t>(file_.size()))
      throw UserError(str(path, ": is truncated or was not written by lime cache build"));
    return file_.data() + offset;
  };
  ids_ = {reinterpret_cast<const int64_t*>(at(ids_at, count * 8)), static_cast<size_t>(count)};
  rows_ = {info_.type,
           count,
           info_.weights,
           info_.hidden,
           at(rows_at, count * columns * static_cast<int64_t>(size_of(info_.type))),
           nullptr};
  if (info_.type == RowType::i8) rows_.scales = reinterpret_cast<const float*>(at(scales_at, count * 8));
  Digest of_rows, of_scales;
  of_rows.add(std::span(static_cast<const char*>(rows_.values),
                        static_cast<size_t>(count * columns) * size_of(info_.type)));
  of_scales.add(std::span(rows_.scales, static_cast<size_t>(rows_.scales ? 2 * count : 0)));
  if (const auto found = content_checksum(ids_, of_rows, of_scales),
      expected = file.attribute("/", checksum_name);
      found != expected)
    throw UserError(str(path, ": checksum ", found, ", expected ", expected, ": its bytes have changed"));
  if (!std::is_sorted(ids_.begin(), ids_.end(), std::less_equal<>()))
    throw UserError(str(path, ": ", ids_object, ": expected ids in ascending order"));
  index_ = RowIndex(ids_);
}

}  // namespace lime
