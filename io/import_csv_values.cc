// Values that a mapping names, read from a row (import_csv_mapping.h).
#include <cmath>
#include <limits>
#include <utility>

#include "io/import_csv_mapping.h"
#include "io/import_values.h"
#include "io/list_text.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int64_t max_ms = 253402300799999;  // the last of the year 9999
constexpr size_t shown_bytes = 60;           // of a value

CsvReader open_for(const CsvSource& source, const std::string& path, std::vector<std::string> wanted,
                   const Explode& explode = {}) {
  wanted.insert(wanted.end(), explode.columns.begin(), explode.columns.end());
  std::erase(wanted, explode.index);  // what comes of the lists
  for (const auto& name : explode.into) std::erase(wanted, name);
  std::erase(wanted, "");  // what the section leaves out
  CsvOptions options;
  options.explode = explode;
  options.wanted = std::move(wanted);
  const bool tabs = without_compression(path).ends_with(".tsv");
  options.separator = !source.separator.empty() ? source.separator : tabs ? "\t" : ",";
  options.quotes = source.quotes;
  options.columns = source.columns;
  options.missing = source.missing;
  return CsvReader(path, options);
}

// Adds the columns of features, and of labels, weights or conditions.
void add_columns(const CsvFeatures& features, std::vector<std::string>& columns) {
  for (const auto& feature : features) columns.push_back(feature.column);
}
void add_columns(const std::vector<CsvNumber>& numbers, std::vector<std::string>& columns) {
  for (const auto& number : numbers) {
    columns.push_back(number.column);
    columns.push_back(number.contains.value_or(""));
  }
}

// Whether a text is several values: in brackets, or as JSON's and Parquet's lists are joined.
bool is_list(std::string_view text, bool joined) {
  if (joined && text.find('|') != std::string_view::npos) return true;
  return text.starts_with('[') && text.ends_with(']');
}

}  // namespace

CsvReader open_source(const CsvImpressions& spec, const std::string& path) {
  std::vector<std::string> columns = {spec.user, spec.item, spec.time.column, spec.day, spec.request};
  for (const auto* features : {&spec.request_features, &spec.candidate_features, &spec.event_features})
    add_columns(*features, columns);
  add_columns(spec.labels, columns);
  add_columns(spec.weights, columns);
  if (spec.event_when) add_columns(std::vector{*spec.event_when}, columns);
  return open_for(spec.source, path, std::move(columns), spec.explode);
}

CsvReader open_source(const CsvEvents& spec, const std::string& path) {
  std::vector<std::string> columns = {spec.user, spec.item, spec.time.column};
  add_columns(spec.features, columns);
  return open_for(spec.source, path, std::move(columns), spec.explode);
}

CsvReader open_source(const CsvRows& spec, const std::string& path) {
  std::vector<std::string> columns = {spec.key};
  add_columns(spec.features, columns);
  return open_for(spec.source, path, std::move(columns));
}

CsvFeatureReader::CsvFeatureReader(const CsvReader& reader, const CsvFeatures& features) : reader_(reader) {
  for (const auto& feature : features)
    bound_.push_back(
        {&feature, reader.column(feature.column), counts_[static_cast<size_t>(feature.kind)]++, {}});
}

std::map<std::string, std::string> CsvFeatureReader::lists() const {
  std::map<std::string, std::string> lists;
  for (const auto& bound : bound_)
    if (!bound.list.empty()) lists.emplace(bound.feature->name, bound.list);
  return lists;
}

void CsvFeatureReader::read(RowValues& out) {
  out.ids.resize(counts_[static_cast<size_t>(ColumnKind::id)]);
  out.lists.resize(counts_[static_cast<size_t>(ColumnKind::ids)]);
  out.reals.resize(counts_[static_cast<size_t>(ColumnKind::real)]);
  for (auto& [feature, column, place, list] : bound_) {
    const std::string_view text = reader_.text(column);
    if (feature->kind == ColumnKind::id) {
      out.ids[place] = feature_id(text);
      if (list.empty() && is_list(text, reader_.joins_lists())) list = text.substr(0, shown_bytes);
    } else if (feature->kind == ColumnKind::ids) {
      split_ids(text, feature->separator, out.lists[place]);
    } else {
      const double value = text.empty() ? missing_number : reader_.real(column);
      if (feature->log1p && value <= -1) reader_.reject(column, "a number above -1, for log1p");
      const double real = feature->log1p ? std::log1p(value) : value;
      if (std::abs(real) > std::numeric_limits<float>::max())
        reader_.reject(column, "a number of at most 3.4e38, which a float holds");
      out.reals[place] = static_cast<float>(real);
    }
  }
}

CsvNumberReader::CsvNumberReader(const CsvReader& reader, const CsvNumber& number)
    : reader_(reader), number_(number), column_(reader.column(number.column)) {
  if (number.contains) contains_ = reader.column(*number.contains);
}

bool CsvNumberReader::holds() const {
  if (number_.contains) {
    const std::string_view sought = reader_.text(contains_);
    if (sought.find(number_.separator) != std::string_view::npos)  // which no value of a list holds
      reader_.reject(contains_, str("one id, which is looked for in the list '", number_.column,
                                    "'; are `column` and `contains` the wrong way round?"));
    const int64_t id = feature_id(sought);
    ListText list(reader_.text(column_), number_.separator);
    for (std::string_view value; list.next(value);)
      if (feature_id(value) == id && id >= 0) return true;
    return false;
  }
  if (number_.equals) return reader_.text(column_) == *number_.equals;
  return !reader_.text(column_).empty() && reader_.real(column_) >= number_.at_least.value_or(0.0);
}

double CsvNumberReader::read(double max) const {
  if (number_.is_condition()) return holds() ? 1.0 : 0.0;
  const std::string_view text = reader_.text(column_);
  if (text == "True" || text == "False" || text == "true" || text == "false")
    reader_.reject(column_, str("a number; of True and False: {column: ", number_.column, ", equals: \"",
                                text.front() == 'T' || text.front() == 'F' ? "True" : "true", "\"}"));
  const double value = reader_.real(column_);
  if (value < 0 || value > max)
    reader_.reject(column_, max == 1.0 ? "a number from 0 to 1" : "a number of at least 0");
  return value;
}

double CsvNumberReader::read_or_zero(double max) const {
  return reader_.text(column_).empty() ? 0.0 : read(max);
}

int64_t CsvTimeReader::read() const {
  const int64_t time = read_unit();
  if (!has_day(time, zone_ms_)) reader_.reject(column_, "a time of the years 0 to 9999 in time_zone");
  return time;
}

int64_t CsvTimeReader::read_unit() const {
  switch (time_.unit) {
    case TimeUnit::s:
      return since_epoch(1000, 1, "s since 1970, up to the year 9999", "; is it in ms?");
    case TimeUnit::ms:
      return since_epoch(1, 1, "ms since 1970, up to the year 9999", "; is it in us?");
    case TimeUnit::us:
      return since_epoch(1, 1000, "us since 1970, up to the year 9999", "; is it in ns?");
    case TimeUnit::format: {
      const auto time = read_time(reader_.text(column_), time_.format, zone_ms_);
      if (!time) reader_.reject(column_, str("a time of the format ", time_.format));
      return *time;
    }
    case TimeUnit::iso8601:
      break;
  }
  const auto time = read_iso8601(reader_.text(column_), zone_ms_);
  if (!time) reader_.reject(column_, "a time such as 2022-05-08T12:34:56+08:00");
  return *time;
}

// The number in the column, times `times`, through `through`: 1709251200, or 1709251200.5 as it comes from
// programs that keep times as floats.
int64_t CsvTimeReader::since_epoch(int64_t times, int64_t through, const char* expected,
                                   const char* too_large) const {
  const std::string_view text = reader_.text(column_);
  if (text.find_first_of(":/") != std::string_view::npos || text.find('-', 1) != std::string_view::npos)
    if (!parse_number<double>(text))
      reader_.reject(column_, str(expected, "; of dates: unit: iso8601, or a format"));
  const bool whole = text.find_first_of(".eE") == std::string_view::npos;
  const int64_t most = max_ms * through / times;
  const double value =
      whole ? 0
            : std::floor(reader_.real(column_) * static_cast<double>(times) / static_cast<double>(through));
  const int64_t integer = whole ? reader_.integer(column_) : 0;
  if (integer < 0 || value < 0) reader_.reject(column_, expected);
  if (integer > most || value > static_cast<double>(max_ms))
    reader_.reject(column_, str(expected, too_large));
  return whole ? integer * times / through : static_cast<int64_t>(value);
}

int64_t read_entity(const CsvReader& reader, size_t column) {
  const auto id = entity_id(reader.text(column));
  if (!id) reader.reject(column, "an id: an integer of at least 0, or text");
  return *id;
}

}  // namespace lime
