// ExternalSorter: sorts any number of byte records by key in bounded memory: sorted runs on disk, then one
// merge.
//
// Records are kept in memory until spill(), which writes them, sorted, as a run under `directory`. Without a
// spill nothing touches the disk. Keys must differ (put a sequence number last): the order is then one,
// whatever was spilled when. Throws UserError naming the run file where the disk is full.
#pragma once

#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lime {

struct SortKey {
  int64_t major = 0, middle = 0, minor = 0, sequence = 0;
  friend auto operator<=>(const SortKey&, const SortKey&) = default;
};

class ExternalSorter {
 public:
  // How many records of a key's major came: each record is told of once, by the end of seal(), a major as
  // often as there are runs.
  using Tally = std::function<void(int64_t major, int64_t records)>;

  // Runs are named DIRECTORY/NAME-N.
  ExternalSorter(std::string directory, std::string name, Tally tally = {});
  ~ExternalSorter();
  ExternalSorter(ExternalSorter&&) noexcept;

  void add(const SortKey&, std::string_view record);
  int64_t buffered_bytes() const;  // with what the next add() may take for a moment
  void spill();

  // Ends adding; the merge reads with about `memory_bytes` of buffers. Then next() walks the records in
  // order: false at the end. The record is valid until the following call.
  void seal(int64_t memory_bytes);
  bool next();
  const SortKey& key() const;
  std::string_view record() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Records as they are in memory (they never leave this job).
class RecordWriter {
 public:
  void clear() { bytes_.clear(); }
  template <typename T>
  void put(T value) {
    put_all(&value, 1);
  }
  template <typename T>
  void put_all(const T* values, size_t count) {
    bytes_.append(reinterpret_cast<const char*>(values), count * sizeof(T));
  }
  template <typename T>
  void put_list(const std::vector<T>& values) {
    put(static_cast<int64_t>(values.size()));
    put_all(values.data(), values.size());
  }
  std::string_view view() const { return bytes_; }

 private:
  std::string bytes_;
};

class RecordReader {
 public:
  explicit RecordReader(std::string_view bytes) : at_(bytes.data()) {}
  template <typename T>
  T get() {
    T value;
    get_all(&value, 1);
    return value;
  }
  template <typename T>
  void get_all(T* out, size_t count) {
    if (count > 0) std::memcpy(out, at_, count * sizeof(T));
    at_ += count * sizeof(T);
  }
  template <typename T>
  void get_list(std::vector<T>& out) {
    out.resize(static_cast<size_t>(get<int64_t>()));
    get_all(out.data(), out.size());
  }

 private:
  const char* at_;
};

}  // namespace lime
