// DatasetWriter from inside: rows in sorters, then files of one import. dataset_writer.cc takes the rows and
// publishes, dataset_writer_files.cc writes the files.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/dataset_writer.h"
#include "io/directory_lock.h"
#include "io/external_sort.h"
#include "io/id_overlap.h"
#include "io/part_assignment.h"
#include "io/part_files.h"
#include "io/partial_directory.h"
#include "io/user_index.h"

namespace lime {

// The dataset that a writer replaces or adds to, which nobody else may do meanwhile.
struct WriterTarget {
  // Throws UserError where the options do not allow it.
  WriterTarget(const std::string& directory, const DatasetSchema&, const WriterOptions&);

  std::string path;
  std::optional<DirectoryLock> lock;  // where it is there
  std::optional<Dataset> before;      // to add to
  int64_t number = 0;                 // of the import
  // What appears at once: the dataset, or the folder of what is added.
  std::string folder() const { return before ? before->folder(number) : path; }
};

struct DatasetWriter::Impl {
  WriterTarget target;
  DatasetSchema schema;
  WriterOptions options;
  PartialDirectory directory;
  RowLayouts layouts;
  PartAssignment assignment;  // by events and requests
  ExternalSorter events, requests, users, items;
  std::map<std::string, int64_t> day_codes;  // by day: order of appearance, as in the requests' records
  int64_t zone_ms = 0;
  int64_t rows = 0, event_count = 0, request_count = 0;
  bool finished = false;
  RecordWriter record;
  std::vector<std::string> sources = {};  // of rows of users and items: the middle of their keys
  IdOverlap items_shown;
  int64_t described_users = 0;  // with a row of features
  ImportInfo import;            // what is written
  std::vector<DayInfo> days;    // of it
  AddedRows added;

  Impl(const std::string& dataset, DatasetSchema, WriterOptions);

  int64_t memory() const { return std::max<int64_t>(options.memory_bytes, int64_t{256} << 10); }
  std::string scratch() const { return directory.path() + "/sort"; }
  void keep_within(int64_t bytes);
  // So many rows more of a user, told by a sorter while it still holds them: what is kept of that is little.
  void count(int64_t user, int64_t rows);
  void add(ExternalSorter&, const SortKey&);
  // Of a user's or item's row: by id, then place.
  SortKey key_of(int64_t id, TextPlace);
  [[noreturn]] void refuse_twice(const char* what, const SortKey& first, const SortKey& again) const;
  void progress(const char* phase, int64_t done, int64_t all) const;

  // Whether the dataset is past a row of this day. Counts it in `known` or `late` then.
  bool is_past(const std::string& day, int64_t& known, int64_t& late) const;
  bool is_past(const EventRow&);

  // The files of the import, in this order.
  void assign_parts();
  void write_users(ExternalSorter& by_day);
  void write_days(ExternalSorter& by_day);
  void write_items();
  Dataset publish();

  // The writers of events/, one a part, and what is known of users to come.
  struct EventsFolder;
  void write_user(EventsFolder&, UserEntry&, bool known, const std::string* features);
  void write_rows(EventsFolder&, UserEntry&, bool known, ExternalSorter& by_day);
  std::unique_ptr<UserIndexReader> known_users() const;  // null for a new dataset
  H5Options h5_options(int64_t open_columns) const;
};

}  // namespace lime
