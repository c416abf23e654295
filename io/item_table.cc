#include "io/item_table.h"

#include <array>
#include <cstring>
#include <random>
#include <utility>

#include "io/part_files.h"
#include "runtime/error.h"

namespace lime {
namespace {

// In the memory of a table: a mark that no other table has, the number of columns, ids, the slots of their
// index, and of each column its kind, ids, offsets and reals. An array is its length in elements, then these,
// up to a multiple of 8 bytes.

template <typename T>
void append(AnonymousFile& file, std::span<const T> values) {
  constexpr std::array<std::byte, 8> zeros{};
  const uint64_t count = values.size();
  file.append(std::as_bytes(std::span(&count, 1)));
  file.append(std::as_bytes(values));
  file.append(std::span(zeros).first((8 - values.size_bytes() % 8) % 8));
}

void append(AnonymousFile& file, uint64_t word) { file.append(std::as_bytes(std::span(&word, 1))); }

class Cursor {
 public:
  explicit Cursor(const MappedFile& memory) : at_(memory.data()), end_(memory.data() + memory.size()) {}
  uint64_t word() {
    uint64_t value = 0;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  template <typename T>
  std::span<const T> array() {
    const size_t count = word();
    return {reinterpret_cast<const T*>(take((count * sizeof(T) + 7) / 8 * 8)), count};
  }

 private:
  const std::byte* take(size_t bytes) {
    LIME_CHECK(bytes <= static_cast<size_t>(end_ - at_), "an item table in memory ends early");
    return std::exchange(at_, at_ + bytes);
  }
  const std::byte *at_, *end_;
};

uint64_t new_mark() {
  std::random_device device;
  return uint64_t{device()} << 32 | device() | 1;
}

}  // namespace

ItemTable::ItemTable(const Dataset& dataset, const std::vector<PlannedColumn>& columns) {
  if (!columns.empty()) load(dataset.items_path(), dataset.items(), columns);
}

ItemTable::ItemTable(const std::string& path, const std::vector<PlannedColumn>& columns) {
  load(path, std::nullopt, columns);
}

ItemTable::ItemTable(const Place& place) {
  const std::string path = AnonymousFile::path(place.process, place.file);
  memory_ = MappedFile(path);
  if (memory_.size() < sizeof(uint64_t) || Cursor(memory_).word() != place.mark)
    throw UserError(str(path, ": is not the table of items that it was said to be"));
  find_columns();
}

ItemTable::Place ItemTable::place() const {
  return {AnonymousFile::this_process(), file_.number(), Cursor(memory_).word()};
}

// An array at a time: that much of the table is in memory twice.
void ItemTable::load(const std::string& path, std::optional<int64_t> expected,
                     const std::vector<PlannedColumn>& columns) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  check_part_file(file, "items");
  const int64_t rows = expected ? *expected : file.shape("/item/id").front();
  if (rows >= INT32_MAX)
    throw UserError(str(path, ": /item/id: has ", rows, " rows, expected fewer than ", INT32_MAX));
  file_ = AnonymousFile("items.h5");
  append(file_, new_mark());
  append(file_, columns.size());
  {
    const std::vector<int64_t> ids = load_integers(file, "/item/id", 0, rows, rows);
    for (size_t row = 1; row < ids.size(); ++row)
      if (ids[row - 1] >= ids[row])
        throw UserError(str(file.path(), ": /item/id: row ", row, ": found ", ids[row],
                            ", expected ids in ascending order"));
    append(file_, std::span(ids));
    append(file_, RowIndex(ids).slots());
  }
  for (const auto& planned : columns) {
    const ColumnData column = load_column(file, "/item", planned, 0, rows, rows);
    append(file_, static_cast<uint64_t>(column.kind));
    append(file_, std::span(column.ids));
    append(file_, std::span(column.offsets));
    append(file_, std::span(column.reals));
  }
  memory_ = file_.map();
  find_columns();
}

void ItemTable::find_columns() {
  Cursor cursor(memory_);
  cursor.word();  // the mark
  columns_.resize(cursor.word());
  id_ = cursor.array<int64_t>();
  index_ = RowIndex(id_, cursor.array<int32_t>());
  for (ColumnView& column : columns_) {
    column.kind = static_cast<ColumnKind>(cursor.word());
    column.ids = cursor.array<int64_t>();
    column.offsets = cursor.array<int64_t>();
    column.reals = cursor.array<float>();
  }
}

}  // namespace lime
