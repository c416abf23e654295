// The HDF5 files of a dataset, written row by row.
#pragma once

#include <string>
#include <vector>

#include "io/hdf5_file.h"
#include "io/row_columns.h"

namespace lime {

// Marks a file as one of this format; check_part_file throws UserError where it is not, or of another version
// or kind.
void mark_part_file(Hdf5File&, const std::string& kind);
void check_part_file(const Hdf5File&, const std::string& kind);

// What every row of a dataset's groups looks like.
struct RowLayouts {
  explicit RowLayouts(const DatasetSchema& schema)
      : user(schema, ColumnGroup::user),
        event(schema, ColumnGroup::event),
        request(schema, ColumnGroup::request),
        candidate(schema, ColumnGroup::candidate),
        item(schema, ColumnGroup::item) {}
  RowLayout user, event, request, candidate, item;
};

// events/part-*.h5 of one import: users that are new or described anew, and users with events, each followed
// by its events in order of time. Both in the order in which they are given; `row`: of the part's users, for
// good.
class EventsPartFile {
 public:
  EventsPartFile(const std::string& path, const RowLayouts&, const H5Options&);
  void describe_user(int64_t row, int64_t id, const RowValues&);
  void begin_history(int64_t row);
  void add_event(int64_t time_ms, int64_t item, const RowValues&);  // of the history begun last
  void close();
  int64_t described() const { return described_; }
  int64_t histories() const { return histories_; }
  int64_t events() const { return events_; }

 private:
  Hdf5File file_;
  ColumnBuffer<int64_t> user_row_, user_id_, history_user_, history_offsets_, time_, item_;
  GroupColumns user_columns_, event_columns_;
  int64_t described_ = 0, histories_ = 0, events_ = 0;
};

// days/DAY/part-*.h5. A request's record is what encode_request made of it.
class DayPartFile {
 public:
  DayPartFile(const std::string& path, const DatasetSchema&, const RowLayouts&, const H5Options&);
  void add_request(int64_t user_row, int64_t time_ms, int64_t history_end, RecordReader record);
  void close();
  int64_t requests() const { return requests_; }
  int64_t candidates() const { return candidates_; }

 private:
  const RowLayouts& layouts_;
  Hdf5File file_;
  ColumnBuffer<int64_t> user_, time_, history_end_, candidate_offsets_, item_;
  GroupColumns request_columns_, candidate_columns_;
  std::vector<ColumnBuffer<float>> labels_, weights_;
  RowValues row_;
  int64_t requests_ = 0, candidates_ = 0;
};

// Throws UserError where a label or weight is out of range.
void encode_request(const RequestRow&, const DatasetSchema&, const RowLayouts&, RecordWriter&);

// items.h5: items in ascending order.
class ItemsFile {
 public:
  ItemsFile(const std::string& path, const RowLayouts&, const H5Options&);
  void add_item(int64_t id, const RowValues&);
  void close();
  int64_t items() const { return items_; }

 private:
  Hdf5File file_;
  ColumnBuffer<int64_t> id_;
  GroupColumns columns_;
  int64_t items_ = 0;
};

}  // namespace lime
