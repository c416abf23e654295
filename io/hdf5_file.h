// HDF5 files: the only place that knows HDF5. Typed columns, groups by path, attributes; every failure is a UserError that
// names the file and the object ("events/part-00000-of-00008.h5: /event/time: checksum error in chunk 12 ...").
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/bf16.h"
#include "runtime/f16.h"

namespace lime {

// f16 and bf16 are HDF5 floats of 16 bits, which other readers know the fields of and convert.
enum class H5Type : uint8_t { i8, u8, i32, i64, f32, f64, f16, bf16 };

struct H5Options {
  int64_t chunk_bytes = int64_t{1} << 20;
  int compression = 0;   // deflate level, after shuffle
  bool checksum = true;  // fletcher32
};

class Hdf5File {
 public:
  enum class Mode : uint8_t { read, create };
  // read: throws UserError if missing, not HDF5, or truncated. create: replaces, but throws
  // UserError where another process has it open, whose bytes stay; what is stored begins at multiples of
  // `alignment` bytes.
  Hdf5File(const std::string& path, Mode, int64_t alignment = 1);
  ~Hdf5File();
  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) noexcept;

  const std::string& path() const;
  bool exists(const std::string& object) const;
  std::vector<std::string> list(const std::string& group) const;  // names in a group, sorted
  std::vector<int64_t> shape(const std::string& dataset) const;
  H5Type type(const std::string& dataset) const;

  // Reads rows [begin, end) (all columns of a 2-D dataset); converts the stored numeric type to T.
  template <typename T>
  std::vector<T> read(const std::string& dataset, int64_t begin = 0, int64_t end = -1) const;
  template <typename T>
  void read_into(const std::string& dataset, int64_t begin, int64_t end, T* out) const;

  // Writes a whole 1-D (cols = 0) or 2-D dataset, making groups as needed. An empty one is legal.
  template <typename T>
  void write(const std::string& dataset, std::span<const T> values, int64_t cols = 0, const H5Options& = {});
  // Appendable 1-D or 2-D dataset.
  template <typename T>
  void append(const std::string& dataset, std::span<const T> values, int64_t cols = 0, const H5Options& = {});

  // A 1-D or 2-D dataset of known size, in one piece and without filters, so that programs may map it: filled
  // by write_rows().
  template <typename T>
  void reserve(const std::string& dataset, int64_t rows, int64_t cols = 0);
  template <typename T>
  void write_rows(const std::string& dataset, int64_t first, std::span<const T> values);
  // Where the values of such a dataset begin, in bytes from the file's beginning. Throws UserError where they
  // are in chunks.
  int64_t offset(const std::string& dataset) const;

  void set_attribute(const std::string& object, const std::string& name, const std::string& value);
  void set_attribute(const std::string& object, const std::string& name, int64_t value);
  std::string attribute(const std::string& object, const std::string& name) const;       // string
  int64_t integer_attribute(const std::string& object, const std::string& name) const;
  bool has_attribute(const std::string& object, const std::string& name) const;

  // Flushes and closes; throws on a full disk. Call it: the destructor swallows errors.
  void close();
  // Closes and renames, replacing a file of that name: nobody else may have the file in between.
  void close_as(const std::string& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
