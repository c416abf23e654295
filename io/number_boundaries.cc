#include "io/number_boundaries.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "io/column_data.h"
#include "io/part_files.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr int64_t most_files = 256;
constexpr int64_t most_places = 16;  // in a file that is not read whole
constexpr int64_t day_ms = 86400000;

// A file that has rows of a column.
struct Rows {
  std::string path, kind;
  int64_t rows;
};

std::vector<Rows> files_of(const Dataset& dataset, const std::vector<std::string>& days, ColumnGroup group) {
  std::vector<Rows> files;
  if (group == ColumnGroup::item) files.push_back({dataset.items_path(), "items", dataset.items()});
  if (group == ColumnGroup::user || group == ColumnGroup::event)
    for (size_t i = 0; i < dataset.imports().size(); ++i)
      for (int64_t part = 0; part < dataset.parts(); ++part) {
        const PartInfo& info = dataset.imports()[i].parts[static_cast<size_t>(part)];
        files.push_back({dataset.events_path(part, static_cast<int64_t>(i)), "events",
                         group == ColumnGroup::user ? info.described : info.events});
      }
  if (group == ColumnGroup::request || group == ColumnGroup::candidate)
    for (const auto& day : days)
      for (int64_t part = 0; part < dataset.parts(); ++part) {
        const DayInfo& info = dataset.day(day);
        const auto& rows = group == ColumnGroup::request ? info.part_requests : info.part_candidates;
        files.push_back({dataset.day_path(day, part), "day", rows[static_cast<size_t>(part)]});
      }
  std::erase_if(files, [](const Rows& file) { return file.rows == 0; });
  return files;
}

// The elements 0, n / most, 2 n / most ... of n.
template <typename T>
std::vector<T> thinned(const std::vector<T>& all, int64_t most) {
  const auto n = static_cast<int64_t>(all.size());
  if (n <= most) return all;
  std::vector<T> some;
  for (int64_t i = 0; i < most; ++i) some.push_back(all[static_cast<size_t>(i * n / most)]);
  return some;
}

// Of one group, with what was found in them.
struct Column {
  ColumnSchema schema;
  std::vector<float> values;
};

// Appends the values of rows [begin, end); of events, those before `until_ms`.
void append_values(const Hdf5File& file, ColumnGroup group, int64_t begin, int64_t end, int64_t rows,
                   int64_t until_ms, std::vector<Column>& columns) {
  std::vector<int64_t> time;
  if (group == ColumnGroup::event) time = load_integers(file, "/event/time", begin, end, rows);
  for (auto& [schema, values] : columns) {
    const auto found = load_column(file, str("/", to_string(group)), schema, begin, end, rows).reals;
    for (size_t i = 0; i < found.size(); ++i)
      if (time.empty() || time[i] < until_ms) values.push_back(found[i]);
  }
}

// A file is opened once for all columns.
void find_values(const Dataset& dataset, const std::vector<std::string>& days, ColumnGroup group,
                 int64_t most_values, std::vector<Column>& columns) {
  const int64_t until_ms = dataset.day_start_ms(days.back()) + day_ms;
  const std::vector<Rows> files = thinned(files_of(dataset, days, group), most_files);
  int64_t total = 0;
  for (const auto& file : files) total += file.rows;
  for (const auto& [path, kind, rows] : files) {
    const Hdf5File file(path, Hdf5File::Mode::read);
    check_part_file(file, kind);
    const int64_t places = total <= most_values ? 1 : std::min(rows, most_places);
    const double share =
        total <= most_values ? 1 : static_cast<double>(most_values) / static_cast<double>(total);
    for (int64_t place = 0; place < places; ++place) {
      const int64_t begin = rows * place / places, end = rows * (place + 1) / places;
      const auto taken = static_cast<int64_t>(static_cast<double>(end - begin) * share + 0.5);
      append_values(file, group, begin, begin + std::clamp<int64_t>(taken, 1, end - begin), rows, until_ms,
                    columns);
    }
  }
}

// The real columns that features read.
std::set<std::pair<std::string, ColumnGroup>> number_columns(const DatasetSchema& schema, BatchSpec spec) {
  spec.buckets.clear();
  const ResolvedSpec resolved = resolve_features(schema, spec);
  std::set<std::pair<std::string, ColumnGroup>> columns;
  for (const auto* features : {&resolved.history, &resolved.candidate, &resolved.user})
    for (const auto& feature : *features)
      if (feature.kind == ColumnKind::real) columns.emplace(feature.name, feature.source);
  return columns;
}

}  // namespace

std::vector<std::string> number_features(const DatasetSchema& schema, const BatchSpec& spec) {
  std::vector<std::string> names;
  for (const auto& [name, group] : number_columns(schema, spec))
    if (names.empty() || names.back() != name) names.push_back(name);
  return names;
}

std::map<std::string, NumberBuckets> find_buckets(const Dataset& dataset,
                                                  const std::vector<std::string>& days, const BatchSpec& spec,
                                                  const std::map<std::string, int64_t>& counts,
                                                  int64_t most_values) {
  std::map<ColumnGroup, std::vector<Column>> groups;
  for (const auto& [name, group] : number_columns(dataset.schema(), spec))
    if (counts.contains(name)) groups[group].push_back({{name, group, ColumnKind::real}, {}});
  std::map<std::string, std::vector<float>> values;
  for (auto& [group, columns] : groups) {
    find_values(dataset, days, group, most_values, columns);
    for (const auto& column : columns) {
      auto& all = values[column.schema.name];
      all.insert(all.end(), column.values.begin(), column.values.end());
    }
  }
  std::map<std::string, NumberBuckets> buckets;
  for (const auto& [name, count] : counts) buckets[name] = equal_buckets(std::move(values[name]), count);
  return buckets;
}

std::map<std::string, NumberBuckets> find_buckets(const Dataset& dataset,
                                                  const std::vector<std::string>& days, const BatchSpec& spec,
                                                  int64_t count) {
  std::map<std::string, int64_t> counts;
  for (const auto& name : number_features(dataset.schema(), spec)) counts[name] = count;
  return find_buckets(dataset, days, spec, counts);
}

}  // namespace lime
