// Rows to columns: encodes a row's values for sorting, and appends rows to the columns of an HDF5 group.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/dataset_writer.h"
#include "io/external_sort.h"
#include "io/hdf5_file.h"

namespace lime {

// The columns of one group of a schema, counted by kind.
class RowLayout {
 public:
  RowLayout(const DatasetSchema&, ColumnGroup);
  const std::vector<ColumnSchema>& columns() const { return columns_; }
  // Throws Error if the row has not one value for each column; UserError where a real is infinite.
  void encode(const RowValues&, RecordWriter&) const;
  void decode(RecordReader&, RowValues&) const;
  RowValues missing() const;  // -1, empty lists, NaN

 private:
  ColumnGroup group_;
  std::vector<ColumnSchema> columns_;
  size_t ids_ = 0, lists_ = 0, reals_ = 0;
};

// One growing column, buffered.
template <typename T>
class ColumnBuffer {
 public:
  ColumnBuffer(Hdf5File& file, std::string name, const H5Options& options)
      : file_(&file), name_(std::move(name)), options_(options) {}
  void push(T value) {
    values_.push_back(value);
    if (values_.size() >= 4096) flush();
  }
  // Also makes the column if nothing was pushed.
  void flush() {
    file_->append<T>(name_, values_, 0, options_);
    values_.clear();
  }

 private:
  Hdf5File* file_;
  std::string name_;
  H5Options options_;
  std::vector<T> values_;
};

// The columns of a RowLayout under `prefix` ("/event"), rows appended.
class GroupColumns {
 public:
  GroupColumns(Hdf5File&, const std::string& prefix, const RowLayout&, const H5Options&);
  void push(const RowValues&);
  void flush();

 private:
  struct Lists {
    ColumnBuffer<int64_t> offsets, values;
    int64_t end = 0;
  };
  std::vector<ColumnBuffer<int64_t>> ids_;
  std::vector<Lists> lists_;
  std::vector<ColumnBuffer<float>> reals_;
};

}  // namespace lime
