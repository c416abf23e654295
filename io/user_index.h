// index.h5: what the next import that adds to a dataset has to know of each of its users. One row a user, by
// id, so that it is walked in step with the new rows and nothing else of the dataset is read. Each import
// writes a new one; readers of batches never open it.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "io/hdf5_file.h"
#include "io/row_columns.h"

namespace lime {

struct UserEntry {
  int64_t id = 0;
  int64_t part = 0, row = 0;  // of the part's users
  int64_t events = 0;
  int64_t last_ms = std::numeric_limits<int64_t>::min();  // of the user's events and requests
  int64_t before_last = 0;                                // events before last_ms
  int64_t features = -1;  // hash of the row that described the user last; -1: none did
  friend bool operator==(const UserEntry&, const UserEntry&) = default;

  // Passes a row of the user at `time_ms`, which is not before last_ms.
  void pass(int64_t time_ms, bool is_event) {
    if (time_ms > last_ms) before_last = events;
    last_ms = time_ms;
    events += is_event;
  }
  // Of the events so far, those before a row at `time_ms`, which is not before last_ms.
  int64_t events_before(int64_t time_ms) const { return time_ms > last_ms ? events : before_last; }
};

class UserIndexFile {
 public:
  UserIndexFile(const std::string& path, const H5Options&);
  void add(const UserEntry&);
  void close();

 private:
  Hdf5File file_;
  std::vector<ColumnBuffer<int64_t>> columns_;
};

class UserIndexReader {
 public:
  // Of `users` rows. Throws UserError where the file is missing or holds something else.
  UserIndexReader(const std::string& path, int64_t users);
  bool next();  // false at the end
  const UserEntry& entry() const { return entry_; }

 private:
  void load();

  Hdf5File file_;
  int64_t users_, row_ = 0;                   // rows walked
  std::vector<std::vector<int64_t>> window_;  // by column
  int64_t window_begin_ = 0, window_end_ = 0;
  UserEntry entry_;
};

}  // namespace lime
