// A dataset directory: its schema, and opening and checking it. docs/data_format.md has the layout.
//
//   DATASET/dataset.yaml   events/part-PPPPP-of-PPPPP.h5   days/YYYY-MM-DD/part-PPPPP-of-PPPPP.h5   items.h5
//   (optional)             added-NNNN/ with the same of the import that was added as number NNNN
//
// Files are never changed once dataset.yaml names them: who has opened a dataset reads the same data of it
// while days are added.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lime {

// What a column holds. `id`: one int64 (>= 0; -1 missing). `ids`: any number of int64 (a CSR column). `real`:
// one float, NaN missing.
enum class ColumnKind : uint8_t { id, ids, real };
const char* to_string(ColumnKind);
inline constexpr float missing_number = std::numeric_limits<float>::quiet_NaN();

// Where a column lives, and so what it describes: the user (events part, /user/X), one past event (/event/X),
// the request (day part, /request/X), one shown candidate (/candidate/X), or an item (items.h5, /item/X:
// joined to events and candidates by their item id).
enum class ColumnGroup : uint8_t { user, event, request, candidate, item };
const char* to_string(ColumnGroup);

struct ColumnSchema {
  std::string name;
  ColumnGroup group = ColumnGroup::event;
  ColumnKind kind = ColumnKind::id;
  friend bool operator==(const ColumnSchema&, const ColumnSchema&) = default;
};

struct DatasetSchema {
  std::string name;
  std::string source;                   // how it was made: "kuairand", "generate seed=1", ...
  std::string time_zone = "+00:00";     // of the days
  std::vector<ColumnSchema> columns;    // beyond user id, item and times, which every dataset has
  std::vector<std::string> labels;      // /label/X in day parts, float 0..1
  std::vector<std::string> weights;     // /weight/X in day parts, float >= 0
  std::map<std::string, double> facts;  // known by construction: "bayes_auc", ...
  bool event_items = true;              // false: events have columns, and no item
};

struct DayInfo {
  std::string day;  // "2022-05-05"
  int64_t requests = 0, candidates = 0;
  std::vector<int64_t> part_requests;    // by part
  std::vector<int64_t> part_candidates;  // by part
  std::vector<int64_t> part_bytes;       // size of the part's file
  int64_t import = 0;                    // which one brought it
};

struct PartInfo {         // of events/part-PPPPP-of-PPPPP.h5 of one import
  int64_t users = 0;      // that were not there before
  int64_t described = 0;  // rows of /user: these users, and those whose features are new
  int64_t histories = 0;  // rows of /history: users with events
  int64_t events = 0, bytes = 0;
};

// What one run of an importer brought. The first made the dataset, each later one added to it.
struct ImportInfo {
  std::string source;  // as DatasetSchema::source
  std::vector<PartInfo> parts;
  int64_t items = 0, items_bytes = 0;      // the whole item table; bytes 0: it is as it was before
  std::optional<int64_t> events_until_ms;  // the latest event so far of those that came without a day
};

class Dataset {
 public:
  // Reads and checks dataset.yaml, and that every file it names is there with the size it had. Throws
  // UserError naming the file and key.
  static Dataset open(const std::string& directory);
  // The same of dataset.yaml alone: the other files need not be there (for serving).
  static Dataset describe(const std::string& directory);

  const std::string& directory() const { return directory_; }
  std::string text() const;  // of dataset.yaml: what was read, written again
  const DatasetSchema& schema() const { return schema_; }
  const std::vector<DayInfo>& days() const { return days_; }  // in order of time
  const std::vector<ImportInfo>& imports() const { return imports_; }
  const DayInfo& day(const std::string& day) const;  // throws UserError if the dataset has no such day
  int64_t parts() const { return imports_.empty() ? 0 : static_cast<int64_t>(imports_.front().parts.size()); }
  int64_t users() const { return users_; }
  int64_t events() const { return events_; }
  PartInfo part_info(int64_t part) const;               // summed over the imports
  int64_t items() const { return items_; }              // rows of items.h5; 0 without it
  int64_t items_bytes() const { return items_bytes_; }  // size of items.h5; 0: there is none

  // The dataset as it was after its first `imports` imports.
  Dataset as_of(int64_t imports) const;

  // Where the files of an import are: the dataset's directory, or added-NNNN in it.
  std::string folder(int64_t import) const;
  std::string events_path(int64_t part, int64_t import = 0) const;
  std::string day_path(const std::string& day, int64_t part) const;
  std::string items_path() const;  // of the last import that changed it
  std::string index_path() const;  // of the last import: io/user_index.h

  // "2022-04-25..2022-05-04", "2022-05-08" or a comma list of these -> the dataset's days in that range, in
  // order. Throws UserError naming a day that is not there and the days that are. `key` is what the text came
  // from.
  std::vector<std::string> select_days(const std::string& text, const std::string& key) const;
  // The same of a text that may name days of other datasets, or none: those that this one has.
  std::vector<std::string> days_among(const std::string& text, const std::string& key) const;
  // The start of a day in ms since epoch, in the dataset's time zone.
  int64_t day_start_ms(const std::string& day) const;

 private:
  friend class DatasetWriter;
  void parse(const std::string& text);
  void check_files() const;
  void count();  // sets what is known from imports_
  std::string directory_;
  DatasetSchema schema_;
  std::vector<DayInfo> days_;
  std::vector<ImportInfo> imports_;
  int64_t users_ = 0, events_ = 0, items_ = 0, items_bytes_ = 0;
  int64_t items_import_ = 0;  // whose items.h5 it is
};

// Files within the folder of an import.
std::string index_file(const std::string& folder);
std::string events_file(const std::string& folder, int64_t part, int64_t parts);
std::string day_file(const std::string& folder, const std::string& day, int64_t part, int64_t parts);

// Throws UserError where a schema cannot be stored or its names would be ambiguous as features (see
// schema.cc).
void check_schema(const DatasetSchema&);
// Days since 1970-01-01 of "YYYY-MM-DD"; minutes east of UTC of "+08:00". Throw UserError on anything else.
int64_t parse_day(const std::string& text);
int64_t parse_time_zone(const std::string& text);
bool is_time_zone(const std::string& text);
std::string format_day(int64_t days_since_epoch);
// Days as select_days() takes them, of any dataset, in as few ranges as name the same, in order.
std::string merged_days(const std::string& text, const std::string& key);

}  // namespace lime
