#include "io/item_table.h"

#include "io/part_files.h"
#include "runtime/error.h"

namespace lime {

ItemTable::ItemTable(const Dataset& dataset, const std::vector<ColumnSchema>& columns) {
  if (!columns.empty()) load(dataset.items_path(), dataset.items(), columns);
}

ItemTable::ItemTable(const std::string& path, const std::vector<ColumnSchema>& columns) {
  load(path, std::nullopt, columns);
}

void ItemTable::load(const std::string& path, std::optional<int64_t> expected,
                     const std::vector<ColumnSchema>& columns) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  check_part_file(file, "items");
  const int64_t rows = expected ? *expected : file.shape("/item/id").front();
  LIME_CHECK(rows < INT32_MAX, "items.h5 has ", rows, " rows");
  id_ = load_integers(file, "/item/id", 0, rows, rows);
  for (size_t row = 1; row < id_.size(); ++row)
    if (id_[row - 1] >= id_[row])
      throw UserError(str(file.path(), ": /item/id: row ", row, ": found ", id_[row],
                          ", expected ids in ascending order"));
  index_ = RowIndex(id_);
  for (const auto& column : columns) columns_.push_back(load_column(file, "/item", column, 0, rows, rows));
}

int64_t ItemTable::bytes() const { return bytes_of(id_) + index_.bytes() + bytes_of(columns_); }

}  // namespace lime
