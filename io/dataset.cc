#include "io/dataset.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "runtime/error.h"
#include "runtime/file_text.h"
#include "runtime/text.h"

namespace lime {
namespace {

std::string part_name(int64_t part, int64_t parts) {
  char name[64];
  std::snprintf(name, sizeof name, "part-%05lld-of-%05lld.h5", static_cast<long long>(part),
                static_cast<long long>(parts));
  return name;
}

void check_size(const std::string& path, int64_t expected) {
  std::error_code status;
  const auto bytes = std::filesystem::file_size(path, status);
  if (status)
    throw UserError(str(path, ": ", status.message(), "; dataset.yaml names it, with ", expected, " bytes"));
  if (static_cast<int64_t>(bytes) != expected)
    throw UserError(str(path, ": found ", bytes, " bytes, expected ", expected, " (truncated or replaced)"));
}

// "2022-04-25..2022-05-08 (14 days), 2022-05-10"
std::string describe_days(const std::vector<DayInfo>& days) {
  std::string text;
  for (size_t i = 0, j; i < days.size(); i = j) {
    for (j = i + 1; j < days.size() && parse_day(days[j].day) == parse_day(days[j - 1].day) + 1;) ++j;
    if (!text.empty()) text += ", ";
    text += days[i].day;
    if (j > i + 1) text += str("..", days[j - 1].day, " (", j - i, " days)");
  }
  return text.empty() ? "none" : text;
}

struct DayRange {
  std::string first, last;  // ISO days sort by time
};

std::vector<DayRange> parse_day_ranges(const std::string& text, const std::string& key) {
  const auto one = [&](std::string_view text_of_day) {
    std::string name(text_of_day);
    try {
      parse_day(name);
    } catch (const UserError& error) {
      throw UserError(str(key, ": ", error.what(), " or a range 2022-04-25..2022-05-04"));
    }
    return name;
  };
  std::vector<DayRange> ranges;
  std::istringstream list(text);
  for (std::string line; std::getline(list, line, ',');) {
    const std::string_view entry = trimmed(line);
    const size_t dots = entry.find("..");
    const std::string first = one(trimmed(entry.substr(0, dots)));
    const std::string last = dots == std::string_view::npos ? first : one(trimmed(entry.substr(dots + 2)));
    if (last < first)
      throw UserError(str(key, ": found '", entry, "', expected the first day before the last"));
    ranges.push_back({first, last});
  }
  return ranges;
}

}  // namespace

Dataset Dataset::open(const std::string& directory) {
  Dataset dataset = describe(directory);
  dataset.check_files();
  return dataset;
}

Dataset Dataset::describe(const std::string& directory) {
  const std::string path = directory + "/dataset.yaml";
  std::error_code status;
  if (!std::filesystem::is_directory(directory, status))
    throw UserError(str(directory, ": no such directory",
                        std::filesystem::path(directory).is_relative()
                            ? str(" in ", std::filesystem::current_path(status).string())
                            : "",
                        ", expected a dataset (lime import and lime generate make them; --set "
                        "data.path=DIR or --data DIR says where one is)"));
  if (!std::filesystem::exists(path, status) && !status)
    throw UserError(str(directory, ": is not a dataset (it has no dataset.yaml)"));
  Dataset dataset;
  dataset.directory_ = directory;
  dataset.parse(file_text(path));
  return dataset;
}

void Dataset::check_files() const {
  for (int64_t p = 0; p < parts(); ++p) {
    for (size_t i = 0; i < imports_.size(); ++i)
      check_size(events_path(p, static_cast<int64_t>(i)), imports_[i].parts[static_cast<size_t>(p)].bytes);
    for (const auto& info : days_)
      check_size(day_file(folder(info.import), info.day, p, parts()),
                 info.part_bytes[static_cast<size_t>(p)]);
  }
  if (items_bytes_ > 0) check_size(items_path(), items_bytes_);
}

void Dataset::count() {
  users_ = events_ = items_ = items_bytes_ = items_import_ = 0;
  for (size_t i = 0; i < imports_.size(); ++i) {
    for (const auto& part : imports_[i].parts) {
      users_ += part.users;
      events_ += part.events;
    }
    if (imports_[i].items_bytes == 0) continue;
    items_ = imports_[i].items;
    items_bytes_ = imports_[i].items_bytes;
    items_import_ = static_cast<int64_t>(i);
  }
}

PartInfo Dataset::part_info(int64_t part) const {
  PartInfo sum;
  for (const auto& import : imports_) {
    const PartInfo& info = import.parts[static_cast<size_t>(part)];
    sum.users += info.users;
    sum.described += info.described;
    sum.histories += info.histories;
    sum.events += info.events;
    sum.bytes += info.bytes;
  }
  return sum;
}

Dataset Dataset::as_of(int64_t imports) const {
  LIME_CHECK(imports >= 1, "as of ", imports, " imports");
  Dataset before = *this;
  if (imports >= static_cast<int64_t>(imports_.size())) return before;
  before.imports_.resize(static_cast<size_t>(imports));
  std::erase_if(before.days_, [&](const DayInfo& info) { return info.import >= imports; });
  before.count();
  return before;
}

std::string index_file(const std::string& folder) { return folder + "/index.h5"; }

std::string events_file(const std::string& folder, int64_t part, int64_t parts) {
  return folder + "/events/" + part_name(part, parts);
}

std::string day_file(const std::string& folder, const std::string& day, int64_t part, int64_t parts) {
  return folder + "/days/" + day + "/" + part_name(part, parts);
}

std::string Dataset::folder(int64_t import) const {
  if (import == 0) return directory_;
  char name[32];
  std::snprintf(name, sizeof name, "/added-%04lld", static_cast<long long>(import));
  return directory_ + name;
}

std::string Dataset::events_path(int64_t part, int64_t import) const {
  return events_file(folder(import), part, parts());
}

std::string Dataset::day_path(const std::string& name, int64_t part) const {
  return day_file(folder(day(name).import), name, part, parts());
}

std::string Dataset::items_path() const { return folder(items_import_) + "/items.h5"; }

std::string Dataset::index_path() const {
  return index_file(folder(static_cast<int64_t>(imports_.size()) - 1));
}

const DayInfo& Dataset::day(const std::string& day) const {
  for (const auto& info : days_)
    if (info.day == day) return info;
  throw UserError(str(directory_, ": has no day ", day, "; it has ", describe_days(days_)));
}

std::string merged_days(const std::string& text, const std::string& key) {
  std::vector<DayRange> ranges = parse_day_ranges(text, key), merged;
  std::sort(ranges.begin(), ranges.end(),
            [](const DayRange& a, const DayRange& b) { return a.first < b.first; });
  for (const DayRange& range : ranges) {
    if (merged.empty() || parse_day(range.first) > parse_day(merged.back().last) + 1)
      merged.push_back(range);
    else
      merged.back().last = std::max(merged.back().last, range.last);
  }
  std::vector<std::string> entries;
  for (const DayRange& range : merged)
    entries.push_back(range.first == range.last ? range.first : str(range.first, "..", range.last));
  return joined(entries, ",");
}

std::vector<std::string> Dataset::days_among(const std::string& text, const std::string& key) const {
  const std::vector<DayRange> ranges = parse_day_ranges(text, key);
  std::vector<std::string> chosen;
  for (const auto& info : days_)
    if (std::any_of(ranges.begin(), ranges.end(),
                    [&](const DayRange& range) { return range.first <= info.day && info.day <= range.last; }))
      chosen.push_back(info.day);
  return chosen;
}

std::vector<std::string> Dataset::select_days(const std::string& text, const std::string& key) const {
  for (const DayRange& range : parse_day_ranges(text, key))
    for (const auto& name : {range.first, range.last})
      if (std::none_of(days_.begin(), days_.end(), [&](const DayInfo& info) { return info.day == name; }))
        throw UserError(str(key, ": ", directory_, " has no day ", name, "; it has ", describe_days(days_)));
  const std::vector<std::string> chosen = days_among(text, key);
  if (chosen.empty())
    throw UserError(str(key, ": is empty, expected days; ", directory_, " has ", describe_days(days_)));
  return chosen;
}

int64_t Dataset::day_start_ms(const std::string& day) const {
  return (parse_day(day) * 24 * 60 - parse_time_zone(schema_.time_zone)) * 60'000;
}

}  // namespace lime
