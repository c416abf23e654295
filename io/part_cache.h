// What the reader keeps in memory: the item features, and the events parts that shards are reading.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/hdf5_file.h"
#include "io/reader.h"
#include "io/row_index.h"

namespace lime {

// Some rows of a column. `ids` columns have offsets (rows + 1), rebased to 0.
struct ColumnData {
  ColumnKind kind = ColumnKind::id;
  std::vector<int64_t> ids, offsets;
  std::vector<float> reals;
  int64_t bytes() const;
};
// Rows [begin, end) of PREFIX/NAME, a column of `rows` rows. Throws UserError where the file holds something
// else.
ColumnData load_column(const Hdf5File&, const std::string& prefix, const ColumnSchema&, int64_t begin,
                       int64_t end, int64_t rows);
// Rows [begin, end) of a column that every file of this kind has.
std::vector<int64_t> load_integers(const Hdf5File&, const std::string& name, int64_t begin, int64_t end,
                                   int64_t rows);
std::vector<float> load_reals(const Hdf5File&, const std::string& name, int64_t begin, int64_t end,
                              int64_t rows);
// Checks offsets of a CSR column that starts at `first`: ascending, the last at most `limit`.
void check_offsets(const Hdf5File&, const std::string& name, const std::vector<int64_t>& offsets,
                   int64_t first, int64_t limit);

// Where the values of one feature come from.
struct FeatureSource {
  enum class From : uint8_t { own_id, age, own_column, item_column, user_column };
  From from = From::own_id;  // own_id: the event's or candidate's item, or the user's id
  ColumnKind kind = ColumnKind::id;
  size_t index = 0;  // in the plan's list of columns of that group
};

// Which columns to load, and where each feature of a batch finds its values. From the features a user named.
struct ReadPlan {
  ReadPlan(const DatasetSchema&, const BatchSpec&, HistoryMode);
  ResolvedSpec resolved;
  std::vector<FeatureSource> history, candidate, user;
  std::vector<ColumnSchema> user_columns, event_columns, request_columns, candidate_columns, item_columns;
  bool event_item = false, event_item_row = false, event_time = false;  // which of these histories need
  bool candidate_item_row = false;

 private:
  std::vector<FeatureSource> sources(const std::vector<ResolvedFeature>&,
                                     const std::vector<ColumnSchema>& schema);
  std::vector<ColumnSchema>& columns_of(ColumnGroup);
};

// items.h5's columns, and item id -> row.
class ItemTable {
 public:
  // Empty where the dataset's features need no columns.
  ItemTable(const Dataset&, const std::vector<ColumnSchema>& columns);
  // Of any file of that format.
  ItemTable(const std::string& path, const std::vector<ColumnSchema>& columns);
  std::span<const int64_t> ids() const { return id_; }              // ascending
  int32_t row_of(int64_t item) const { return index_.find(item); }  // -1: not there
  const ColumnData& column(size_t index) const { return columns_[index]; }
  int64_t bytes() const;

 private:
  void load(const std::string& path, std::optional<int64_t> rows, const std::vector<ColumnSchema>& columns);

  std::vector<int64_t> id_;
  RowIndex index_;
  std::vector<ColumnData> columns_;
};

// One events part, the planned columns of it.
struct EventsPart {
  EventsPart(const Dataset&, int64_t part, const ReadPlan&, const ItemTable&);
  int64_t users() const { return static_cast<int64_t>(user_id.size()); }
  int64_t bytes() const;

  std::string path;
  std::vector<int64_t> user_id, user_offsets;
  std::vector<int64_t> time, item;  // empty where not planned
  std::vector<int32_t> item_row;
  std::vector<ColumnData> user_columns, event_columns;
};

// Events parts by number; keeps those in use and the most recently used, `capacity` in all. Thread-safe.
class PartCache {
 public:
  PartCache(const Dataset&, const ReadPlan&, const ItemTable&, size_t capacity);
  std::shared_ptr<const EventsPart> get(int64_t part);
  int64_t bytes() const { return bytes_; }

 private:
  void make_room();
  const Dataset& dataset_;
  const ReadPlan& plan_;
  const ItemTable& items_;
  const size_t capacity_;
  std::mutex mutex_;
  std::list<std::pair<int64_t, std::shared_ptr<const EventsPart>>> parts_;  // most recent first
  std::atomic<int64_t> bytes_ = 0;
};

}  // namespace lime
