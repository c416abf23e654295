// Hdf5File from inside: an open file and its columns. hdf5_columns.cc makes, reads and writes columns,
// hdf5_file.cc the rest.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/file_claim.h"
#include "io/hdf5_library.h"
#include "runtime/error.h"

namespace lime {

struct Hdf5File::Impl {
  struct Column {
    Hdf5Handle dataset;
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
  FileClaim claim;  // of what is created
  Hdf5Handle file;
  std::map<std::string, Column> columns;

  [[noreturn]] void fail(const std::string& object, const std::string& what) const;
  // Checks the result of a library call.
  template <typename Id>
  Id checked(Id result, const std::string& object, const char* action) const {
    if (result < 0) fail(object, str(action, ": ", hdf5_error()));
    return result;
  }
  Hdf5Handle own(hid_t id, Hdf5Handle::Closer closer, const std::string& object, const char* action) const;
  bool exists(const std::string& object) const;
  Column& column(const std::string& object);
  void check_size(const std::string& object, const Column& c) const;
  void transfer(const std::string& object, const Column& c, hsize_t begin, hsize_t end, H5Type memory,
                void* out);
  void check_rows(const std::string& object, int64_t first, int64_t last);
  void read(const std::string& object, int64_t first, int64_t last, H5Type memory, void* out);
  void make_groups(const std::string& object);
  // A column to come: made in the file when its first chunk is full, or at the end, when its size is known.
  Column& plan(const std::string& object, H5Type type, int64_t cols, const H5Options& options);
  // Makes a planned column: of `rows` rows, or, without, one that grows.
  void make(const std::string& object, Column& c, std::optional<hsize_t> rows);
  // Makes a planned column of one piece.
  void make_whole(const std::string& object, Column& c, hsize_t rows);
  void put(const std::string& object, Column& c, hsize_t begin, hsize_t rows, const void* data);
  // Writes the whole chunks of what is pending, or all of it.
  void flush(const std::string& object, Column& c, bool all);
  void finish(const std::string& object, Column& c);
  Hdf5Handle open_object(const std::string& object, bool make);
  void set_attribute(const std::string& object, const std::string& name, hid_t type, const void* value);
  Hdf5Handle open_attribute(const std::string& object, const std::string& name);  // one of one value
  void close();
};

}  // namespace lime
