#include "io/user_index.h"

#include <algorithm>

#include "io/column_data.h"
#include "io/part_files.h"
#include "runtime/error.h"

namespace lime {
namespace {

struct IndexColumn {
  const char* name;
  int64_t UserEntry::*member;
};
constexpr IndexColumn index_columns[] = {{"/user/id", &UserEntry::id},
                                         {"/user/part", &UserEntry::part},
                                         {"/user/row", &UserEntry::row},
                                         {"/user/events", &UserEntry::events},
                                         {"/user/last_ms", &UserEntry::last_ms},
                                         {"/user/before_last", &UserEntry::before_last},
                                         {"/user/features", &UserEntry::features}};
constexpr int64_t window_rows = 65536;

}  // namespace

UserIndexFile::UserIndexFile(const std::string& path, const H5Options& options)
    : file_(path, Hdf5File::Mode::create) {
  mark_part_file(file_, "index");
  for (const auto& column : index_columns) columns_.emplace_back(file_, column.name, options);
}

void UserIndexFile::add(const UserEntry& entry) {
  for (size_t c = 0; c < columns_.size(); ++c) columns_[c].push(entry.*index_columns[c].member);
}

void UserIndexFile::close() {
  for (auto& column : columns_) column.flush();
  file_.close();
}

UserIndexReader::UserIndexReader(const std::string& path, int64_t users)
    : file_(path, Hdf5File::Mode::read), users_(users) {
  check_part_file(file_, "index");
}

void UserIndexReader::load() {
  window_begin_ = row_;
  window_end_ = std::min(users_, row_ + window_rows);
  window_.clear();
  for (const auto& column : index_columns)
    window_.push_back(load_integers(file_, column.name, window_begin_, window_end_, users_));
}

bool UserIndexReader::next() {
  if (row_ == users_) return false;
  if (row_ == window_end_) load();
  const int64_t last = entry_.id;
  const auto at = static_cast<size_t>(row_ - window_begin_);
  for (size_t c = 0; c < window_.size(); ++c) entry_.*index_columns[c].member = window_[c][at];
  if (row_ > 0 && entry_.id <= last)
    throw UserError(str(file_.path(), ": /user/id: row ", row_, ": found ", entry_.id,
                        ", expected ids in ascending order"));
  ++row_;
  return true;
}

}  // namespace lime
