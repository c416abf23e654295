// Names and times in a dataset's schema.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <set>

#include "io/dataset.h"
#include "runtime/error.h"

namespace lime {
namespace {

// What the format itself stores or the reader offers beside a group's columns.
std::set<std::string> reserved_names(ColumnGroup group) {
  switch (group) {
    case ColumnGroup::user:
      return {"id", "row", "user"};
    case ColumnGroup::event:
      return {"time", "item", "age"};
    case ColumnGroup::request:
      return {"user", "time", "history_end"};
    case ColumnGroup::candidate:
      return {"offsets", "item"};
    case ColumnGroup::item:
      return {"id", "item", "age"};
  }
  return {};
}

// Groups whose columns can be features of the same name space: history joins item and event columns,
// candidate joins item and candidate columns, user joins user and request columns.
bool share_names(ColumnGroup a, ColumnGroup b) {
  const std::set<ColumnGroup> pair = {a, b};
  return pair.size() == 1 || pair == std::set{ColumnGroup::item, ColumnGroup::event} ||
         pair == std::set{ColumnGroup::item, ColumnGroup::candidate} ||
         pair == std::set{ColumnGroup::user, ColumnGroup::request};
}

// One feature, of histories as the event has it and of candidates as the item has it: there is no doubt which
// is meant, and ids look up one table. A number and an id cannot be one.
bool one_feature(const ColumnSchema& a, const ColumnSchema& b) {
  return std::set{a.group, b.group} == std::set{ColumnGroup::item, ColumnGroup::event} &&
         (a.kind == ColumnKind::real) == (b.kind == ColumnKind::real);
}

void check_name(const std::string& what, const std::string& name) {
  const bool good = !name.empty() && name.find_first_not_of(
                                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                         "0123456789_-") == std::string::npos;
  if (!good)
    throw UserError(str(what, ": found the name '", name, "', expected letters, digits, '_' and '-'"));
}

int64_t digits(const std::string& text, size_t begin, size_t count) {
  int64_t value = -1;
  if (begin + count > text.size()) return -1;
  const char* first = text.data() + begin;
  for (const char* c = first; c < first + count; ++c)
    if (*c < '0' || *c > '9') return -1;
  std::from_chars(first, first + count, value);
  return value;
}

}  // namespace

const char* to_string(ColumnKind kind) {
  return kind == ColumnKind::id ? "id" : kind == ColumnKind::ids ? "ids" : "real";
}

const char* to_string(ColumnGroup group) {
  static constexpr const char* names[] = {"user", "event", "request", "candidate", "item"};
  return names[static_cast<int>(group)];
}

void check_schema(const DatasetSchema& schema) {
  parse_time_zone(schema.time_zone);
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    const auto& column = schema.columns[i];
    const std::string what = str("column '", column.name, "' of group ", to_string(column.group));
    check_name("column of group " + std::string(to_string(column.group)), column.name);
    if (reserved_names(column.group).count(column.name))
      throw UserError(what + ": every dataset has its own of that name");
    for (size_t j = 0; j < i; ++j) {
      const ColumnSchema& other = schema.columns[j];
      if (other.name == column.name && share_names(other.group, column.group) && !one_feature(other, column))
        throw UserError(str(what, ": group ", to_string(other.group), " has one of that name",
                            other.kind == column.kind ? "" : str(", of kind ", to_string(other.kind))));
    }
  }
  for (const auto* names : {&schema.labels, &schema.weights}) {
    std::set<std::string> seen;
    const std::string what = names == &schema.labels ? "label" : "weight";
    for (const auto& name : *names) {
      check_name(what, name);
      if (!seen.insert(name).second) throw UserError(str(what, " '", name, "': given twice"));
    }
  }
}

int64_t parse_day(const std::string& text) {
  using namespace std::chrono;
  const year_month_day date{year{static_cast<int>(digits(text, 0, 4))},
                            month{static_cast<unsigned>(digits(text, 5, 2))},
                            day{static_cast<unsigned>(digits(text, 8, 2))}};
  if (text.size() != 10 || text[4] != '-' || text[7] != '-' || !date.ok() || digits(text, 0, 4) < 0)
    throw UserError(str("found '", text, "', expected a day such as 2022-05-08"));
  return sys_days{date}.time_since_epoch().count();
}

std::string format_day(int64_t days_since_epoch) {
  using namespace std::chrono;
  const year_month_day date{sys_days{days{days_since_epoch}}};
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text;
}

bool is_time_zone(const std::string& text) {
  const int64_t hours = digits(text, 1, 2), minutes = digits(text, 4, 2);
  return text.size() == 6 && (text[0] == '+' || text[0] == '-') && text[3] == ':' && hours >= 0 &&
         hours <= 14 && minutes >= 0 && minutes <= 59;
}

int64_t parse_time_zone(const std::string& text) {
  const int64_t hours = digits(text, 1, 2), minutes = digits(text, 4, 2);
  if (!is_time_zone(text))
    throw UserError(str("time zone: found '", text, "', expected hours from UTC such as +08:00"));
  return (text[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
}

}  // namespace lime
