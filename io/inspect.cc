#include "io/inspect.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "io/column_data.h"
#include "io/events_part.h"
#include "io/part_files.h"
#include "io/user_index.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int64_t rows_at_once = int64_t{1} << 20;
constexpr size_t line_width = 110;

std::string megabytes(int64_t bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

std::string percent(double sum, int64_t count) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", count > 0 ? 100.0 * sum / static_cast<double>(count) : 0.0);
  return text;
}

std::string padded(const std::string& text, size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

int64_t stored_bytes(const Dataset& dataset) {
  int64_t bytes = 0;
  for (int64_t p = 0; p < dataset.parts(); ++p) bytes += dataset.part_info(p).bytes;
  for (const auto& day : dataset.days())
    bytes += std::accumulate(day.part_bytes.begin(), day.part_bytes.end(), int64_t{0});
  return bytes + dataset.items_bytes();
}

double column_sum(const Hdf5File& file, const std::string& name, int64_t rows) {
  double sum = 0;
  for (int64_t begin = 0; begin < rows; begin += rows_at_once)
    for (const float value : file.read<float>(name, begin, std::min(rows, begin + rows_at_once)))
      sum += value;
  return sum;
}

std::string lengths_line(const Dataset& dataset) {
  const std::vector<int64_t> lengths = history_lengths(dataset);
  if (lengths.empty()) return "no users";
  const auto at = [&](size_t p) { return grouped(lengths[(lengths.size() - 1) * p / 100]); };
  return str("P10 ", at(10), ", P50 ", at(50), ", P90 ", at(90), ", P99 ", at(99), ", max ", at(100));
}

void add_columns(const Dataset& dataset, std::string& text) {
  for (const auto group : {ColumnGroup::user, ColumnGroup::event, ColumnGroup::request,
                           ColumnGroup::candidate, ColumnGroup::item}) {
    const std::string label = str("  ", to_string(group), ": ");
    std::string line;  // broken where it gets too long for a terminal, and indented below its first name
    if (group == ColumnGroup::event && !dataset.schema().event_items) line = label + "no item";
    for (const auto& column : dataset.schema().columns) {
      if (column.group != group) continue;
      const std::string name = str(column.name, " (", to_string(column.kind), ")");
      if (line.empty()) {
        line = label + name;
      } else if (line.size() + name.size() + 3 > line_width) {
        text += line + ",\n";
        line = std::string(label.size(), ' ') + name;
      } else {
        line += ", " + name;
      }
    }
    if (!line.empty()) text += line + "\n";
  }
}

void add_days(const Dataset& dataset, std::string& text) {
  const auto& labels = dataset.schema().labels;
  text += "days        requests  candidates";
  for (const auto& label : labels) text += padded(label, std::max<size_t>(label.size(), 9) + 2);
  text += "\n";
  for (const auto& day : dataset.days()) {
    std::vector<double> sums(labels.size());
    for (int64_t p = 0; p < dataset.parts(); ++p) {
      const Hdf5File file(dataset.day_path(day.day, p), Hdf5File::Mode::read);
      for (size_t l = 0; l < labels.size(); ++l)
        sums[l] += column_sum(file, "/label/" + labels[l], day.part_candidates[static_cast<size_t>(p)]);
    }
    text += str(day.day, padded(grouped(day.requests), 10), padded(grouped(day.candidates), 12));
    for (size_t l = 0; l < labels.size(); ++l)
      text += padded(percent(sums[l], day.candidates), std::max<size_t>(labels[l].size(), 9) + 2);
    text += "\n";
  }
}

std::string balance_line(const Dataset& dataset) {
  std::vector<int64_t> rows;
  for (int64_t p = 0; p < dataset.parts(); ++p) {
    rows.push_back(dataset.part_info(p).events);
    for (const auto& day : dataset.days()) rows.back() += day.part_requests[static_cast<size_t>(p)];
  }
  const auto [least, most] = std::minmax_element(rows.begin(), rows.end());
  return str(dataset.parts(), " of ", grouped(*least), " to ", grouped(*most), " events and requests");
}

// Reads whole columns in pieces and counts them.
class Verifier {
 public:
  explicit Verifier(const Dataset& dataset) : dataset_(dataset) {}

  std::string run() {
    for (int64_t p = 0; p < dataset_.parts(); ++p) verify_part(p);
    if (dataset_.items_bytes() > 0) {
      const Hdf5File file(dataset_.items_path(), Hdf5File::Mode::read);
      check_part_file(file, "items");
      integers(file, "/item/id", dataset_.items());
      group(file, "/item", ColumnGroup::item, dataset_.items());
      ++files_;
    }
    verify_index();
    return str("verified: ", grouped(values_), " values in ", grouped(columns_), " columns of ",
               grouped(files_), " files");
  }

 private:
  void verify_part(int64_t p) {
    for (size_t i = 0; i < dataset_.imports().size(); ++i) {
      const PartInfo& info = dataset_.imports()[i].parts[static_cast<size_t>(p)];
      const Hdf5File file(dataset_.events_path(p, static_cast<int64_t>(i)), Hdf5File::Mode::read);
      check_part_file(file, "events");
      for (const char* name : {"/user/row", "/user/id"}) integers(file, name, info.described);
      integers(file, "/history/user", info.histories);
      integers(file, "/history/offsets", info.histories + 1);
      for (const char* name : {"/event/time", "/event/item"}) integers(file, name, info.events);
      group(file, "/user", ColumnGroup::user, info.described);
      group(file, "/event", ColumnGroup::event, info.events);
      ++files_;
    }
    ReadPlan plan(dataset_.schema(), {}, HistoryMode::none);
    plan.event_time = true;
    const EventsPart part(dataset_, p, plan, {dataset_, {}});
    std::vector<UserEntry> users(part.user_id.size());
    for (size_t u = 0; u < users.size(); ++u) {
      const int64_t begin = part.user_offsets[u], end = part.user_offsets[u + 1];
      users[u] = {part.user_id[u], p, static_cast<int64_t>(u), end - begin};
      if (end > begin) users[u].last_ms = part.time[static_cast<size_t>(end) - 1];
    }
    for (const auto& day : dataset_.days()) verify_day(day, p, part, users);
    for (size_t u = 0; u < users.size(); ++u) {
      const auto begin = part.time.begin() + part.user_offsets[u];
      users[u].before_last =
          std::lower_bound(begin, part.time.begin() + part.user_offsets[u + 1], users[u].last_ms) - begin;
    }
    users_.insert(users_.end(), users.begin(), users.end());
  }

  // Raises `last_ms` of the part's users to that of the day's requests.
  void verify_day(const DayInfo& day, int64_t p, const EventsPart& part, std::vector<UserEntry>& users) {
    const int64_t requests = day.part_requests[static_cast<size_t>(p)];
    const int64_t candidates = day.part_candidates[static_cast<size_t>(p)];
    const Hdf5File file(dataset_.day_path(day.day, p), Hdf5File::Mode::read);
    check_part_file(file, "day");
    integers(file, "/candidate/offsets", requests + 1);
    integers(file, "/candidate/item", candidates);
    group(file, "/request", ColumnGroup::request, requests);
    group(file, "/candidate", ColumnGroup::candidate, candidates);
    for (const auto& label : dataset_.schema().labels) reals(file, "/label/" + label, candidates);
    for (const auto& weight : dataset_.schema().weights) reals(file, "/weight/" + weight, candidates);
    const auto rows = load_integers(file, "/request/user", 0, requests, requests);
    const auto when = load_integers(file, "/request/time", 0, requests, requests);
    const auto ends = load_integers(file, "/request/history_end", 0, requests, requests);
    count(3 * rows.size(), 3);
    ++files_;
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto u = static_cast<size_t>(rows[r]);
      bool strictly_before = rows[r] >= 0 && u < users.size();
      if (strictly_before) {
        const int64_t begin = part.user_offsets[u], end = part.user_offsets[u + 1];
        const auto time = [&](int64_t event) { return part.time[static_cast<size_t>(event)]; };
        strictly_before = ends[r] >= 0 && begin + ends[r] <= end &&
                          (ends[r] == 0 || time(begin + ends[r] - 1) < when[r]) &&
                          (begin + ends[r] == end || time(begin + ends[r]) >= when[r]);
      }
      if (!strictly_before)
        throw UserError(str(file.path(), ": /request/history_end: row ", r, ": found ", ends[r],
                            ", expected the number of the user's events before ", when[r], " ms"));
      users[u].last_ms = std::max(users[u].last_ms, when[r]);
    }
  }

  void verify_index() {
    std::sort(users_.begin(), users_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    UserIndexReader index(dataset_.index_path(), dataset_.users());
    for (UserEntry& user : users_) {
      index.next();
      user.features = index.entry().features;  // a hash of a row that is not kept
      if (index.entry() != user)
        throw UserError(str(dataset_.index_path(), ": user ", user.id, ": is not what events and days say"));
    }
    ++files_;
  }

  void group(const Hdf5File& file, const std::string& prefix, ColumnGroup which, int64_t rows) {
    for (const auto& column : dataset_.schema().columns) {
      if (column.group != which) continue;
      const std::string name = prefix + "/" + column.name;
      if (column.kind == ColumnKind::id) integers(file, name, rows);
      if (column.kind == ColumnKind::real) reals(file, name, rows);
      if (column.kind == ColumnKind::ids) {
        integers(file, name + "/offsets", rows + 1);
        integers(file, name + "/values", file.shape(name + "/values").front());
      }
    }
  }
  void integers(const Hdf5File& file, const std::string& name, int64_t rows) {
    for (int64_t begin = 0; begin < std::max<int64_t>(rows, 1); begin += rows_at_once)
      count(load_integers(file, name, begin, std::min(rows, begin + rows_at_once), rows).size(), begin == 0);
  }
  void reals(const Hdf5File& file, const std::string& name, int64_t rows) {
    for (int64_t begin = 0; begin < std::max<int64_t>(rows, 1); begin += rows_at_once)
      count(load_reals(file, name, begin, std::min(rows, begin + rows_at_once), rows).size(), begin == 0);
  }
  void count(size_t values, int64_t columns) {
    values_ += static_cast<int64_t>(values);
    columns_ += columns;
  }

  const Dataset& dataset_;
  int64_t values_ = 0, columns_ = 0, files_ = 0;
  std::vector<UserEntry> users_;  // as the index should have them
};

// "imports: 3, the last of csv shop.yaml: 2024-01-05, 1,200 events"
std::string imports_line(const Dataset& dataset) {
  const auto& last = dataset.imports().back();
  int64_t events = 0;
  for (const auto& part : last.parts) events += part.events;
  std::string days;
  for (const auto& info : dataset.days())
    if (info.import + 1 == static_cast<int64_t>(dataset.imports().size()))
      days += (days.empty() ? "" : ", ") + info.day;
  return str("imports: ", dataset.imports().size(), ", the last of ", last.source, ": ",
             days.empty() ? "no days" : days, ", ", grouped(events), " events");
}

}  // namespace

std::vector<int64_t> history_lengths(const Dataset& dataset) {
  std::vector<int64_t> lengths;
  for (int64_t p = 0; p < dataset.parts(); ++p) {
    const EventsPart part(dataset, p, ReadPlan(dataset.schema(), {}, HistoryMode::none), {dataset, {}});
    for (size_t u = 0; u + 1 < part.user_offsets.size(); ++u)
      lengths.push_back(part.user_offsets[u + 1] - part.user_offsets[u]);
  }
  std::sort(lengths.begin(), lengths.end());
  return lengths;
}

std::string inspect(const Dataset& dataset, bool verify) {
  const auto& schema = dataset.schema();
  std::string text = str(dataset.directory(), ": ", schema.name, " (", schema.source, ")\n");
  text += str("users ", grouped(dataset.users()), ", events ", grouped(dataset.events()),
              ", items with features ", grouped(dataset.items()), ", time zone ", schema.time_zone, ", ",
              megabytes(stored_bytes(dataset)), " on disk\n");
  text += str("events a user: ", lengths_line(dataset), "\n");
  text += str("parts: ", balance_line(dataset), "\n");
  if (dataset.imports().size() > 1) text += imports_line(dataset) + "\n";
  text += "columns:\n";
  add_columns(dataset, text);
  if (!schema.weights.empty()) text += str("  weights: ", joined(schema.weights), "\n");
  for (const auto& [name, value] : schema.facts) text += str("known: ", name, " = ", value, "\n");
  add_days(dataset, text);
  if (verify) text += Verifier(dataset).run() + "\n";
  return text;
}

}  // namespace lime
