// The YAML mapping of import_csv.h, read and checked, and the readers of the values it names.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/csv_reader.h"
#include "io/dataset_writer.h"

namespace lime {

struct CsvSource {
  std::vector<std::string> patterns;  // made relative to the mapping file
  std::string separator;              // "": by the file's ending
  bool quotes = true;
  std::vector<std::string> columns;  // for files without a header line
  std::vector<std::string> missing;  // texts that stand for no value
};

enum class TimeUnit : uint8_t { s, ms, us, iso8601, format };

struct CsvTime {
  std::string column;
  TimeUnit unit = TimeUnit::s;
  std::string format = {};  // of strptime, for TimeUnit::format
};

// The number in a column; or 1 where it is >= at_least, where the text is `equals`, or where it is a list
// with the id that the column `contains` holds, else 0. What is empty meets no condition.
struct CsvNumber {
  std::string name, column;
  std::optional<double> at_least;
  std::optional<std::string> equals, contains;
  std::string separator = "|";  // of a list

  bool is_condition() const { return at_least || equals || contains; }
};

struct CsvFeature {
  std::string name, column;
  ColumnKind kind = ColumnKind::id;
  std::string separator = "|";  // of ids
  bool log1p = false;           // of real
};
using CsvFeatures = std::vector<CsvFeature>;

struct CsvImpressions {
  CsvSource source;
  Explode explode;
  std::string user, item;
  CsvTime time;
  std::string day, request;  // columns, or ""
  std::vector<CsvNumber> labels, weights;
  CsvFeatures request_features, candidate_features;
  bool names_events = false;  // the mapping says which rows are events
  bool makes_events = true;
  std::optional<CsvNumber> event_when;  // unset: every row
  CsvFeatures event_features;
};

struct CsvEvents {
  CsvSource source;
  Explode explode;
  std::string user, item;  // item "": the events have none
  CsvTime time;
  CsvFeatures features;
};

struct CsvRows {  // users or items
  CsvSource source;
  std::string key;
  CsvFeatures features;
};

struct CsvMapping {
  std::string name = "csv", time_zone = "+00:00";
  CsvImpressions impressions;
  std::optional<CsvEvents> events;
  std::optional<CsvRows> users, items;
};

// Throws UserError "mapping.yaml:12: ...": an unknown key (with the nearest), a missing one, a value out of
// range, event features that differ between `impressions` and `events`.
CsvMapping read_mapping(const std::string& path);
DatasetSchema schema_of(const CsvMapping&, const std::string& source);

// Opens a file of a section's source, for the columns that the section names.
CsvReader open_source(const CsvImpressions&, const std::string& path);
CsvReader open_source(const CsvEvents&, const std::string& path);
CsvReader open_source(const CsvRows&, const std::string& path);

// Features bound to a file's columns.
class CsvFeatureReader {
 public:
  CsvFeatureReader(const CsvReader&, const CsvFeatures&);
  // Throws BadRow.
  void read(RowValues& out);

  // Features of kind id that met a list, which is one id as a whole, each with the first such text.
  std::map<std::string, std::string> lists() const;

 private:
  struct Bound {
    const CsvFeature* feature;
    size_t column, place;  // place: within its kind
    std::string list;      // the first one that was read as an id; "": none
  };
  const CsvReader& reader_;
  std::vector<Bound> bound_;
  size_t counts_[3] = {0, 0, 0};  // by ColumnKind
};

// The value of a CsvNumber, bound to a file's column.
class CsvNumberReader {
 public:
  CsvNumberReader(const CsvReader& reader, const CsvNumber& number);
  double read(double max) const;          // 0..max; throws BadRow
  double read_or_zero(double max) const;  // where an empty field is 0
  bool holds() const;                     // for conditions; throws BadRow
 private:
  const CsvReader& reader_;
  const CsvNumber& number_;
  size_t column_, contains_ = 0;
};

class CsvTimeReader {
 public:
  CsvTimeReader(const CsvReader& reader, const CsvTime& time, int64_t zone_ms)
      : reader_(reader), time_(time), zone_ms_(zone_ms), column_(reader.column(time.column)) {}
  int64_t read() const;  // ms since epoch; throws BadRow

 private:
  int64_t read_unit() const;
  int64_t since_epoch(int64_t times, int64_t through, const char* expected, const char* too_large) const;

  const CsvReader& reader_;
  const CsvTime& time_;
  int64_t zone_ms_;
  size_t column_;
};

// A user's or item's id (entity_id); throws BadRow.
int64_t read_entity(const CsvReader&, size_t column);

}  // namespace lime
