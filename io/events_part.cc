#include "io/events_part.h"

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <utility>

#include "io/part_files.h"
#include "runtime/error.h"

namespace lime {
namespace {

// Rows [begin, end) of what import `import` has, in the order in which the part has them.
struct Run {
  size_t import;
  int64_t begin, end;
};

// What one import has of the part: read at once, so that no more than one file is open.
struct EventsOfImport {
  std::string path;
  PartInfo info;
  std::vector<int64_t> described, ids;                 // by row of /user
  std::vector<int64_t> history_user, history_offsets;  // by row of /history
  std::vector<ColumnData> user_columns, event_columns;
  std::vector<int64_t> time, item;

  EventsOfImport(const Dataset& dataset, int64_t part, int64_t import, const ReadPlan& plan)
      : path(dataset.events_path(part, import)),
        info(dataset.imports()[static_cast<size_t>(import)].parts[static_cast<size_t>(part)]) {
    const Hdf5File file(path, Hdf5File::Mode::read);
    check_part_file(file, "events");
    const int64_t users = info.described, histories = info.histories, events = info.events;
    described = load_integers(file, "/user/row", 0, users, users);
    ids = load_integers(file, "/user/id", 0, users, users);
    history_user = load_integers(file, "/history/user", 0, histories, histories);
    history_offsets = load_integers(file, "/history/offsets", 0, histories + 1, histories + 1);
    check_offsets(file, "/history/offsets", history_offsets, 0, events);
    for (const auto& column : plan.user_columns)
      user_columns.push_back(load_column(file, "/user", column, 0, users, users));
    for (const auto& column : plan.event_columns)
      event_columns.push_back(load_column(file, "/event", column, 0, events, events));
    if (plan.event_time) time = load_integers(file, "/event/time", 0, events, events);
    if (plan.event_item || plan.event_item_row) item = load_integers(file, "/event/item", 0, events, events);
  }

  void check_rows(const std::string& name, const std::vector<int64_t>& rows, int64_t users) const {
    for (size_t i = 0; i < rows.size(); ++i)
      if (rows[i] < 0 || rows[i] >= users)
        throw UserError(
            str(path, ": ", name, ": row ", i, ": found ", rows[i], ", expected one of ", users, " users"));
  }
};

// Joins what follows within the file of one import, so that a single import is one run.
void append_run(std::vector<Run>& runs, const Run& run) {
  if (!runs.empty() && runs.back().import == run.import && runs.back().end == run.begin)
    runs.back().end = run.end;
  else
    runs.push_back(run);
}

template <typename T>
std::vector<T> gathered(const std::vector<std::vector<T>>& parts, const std::vector<Run>& runs) {
  std::vector<T> out;
  int64_t rows = 0;
  for (const Run& run : runs) rows += run.end - run.begin;
  out.reserve(static_cast<size_t>(rows));
  for (const Run& run : runs)
    out.insert(out.end(), parts[run.import].begin() + run.begin, parts[run.import].begin() + run.end);
  return out;
}

ColumnData gathered(const std::vector<ColumnData>& parts, const std::vector<Run>& runs) {
  ColumnData out;
  out.kind = parts.front().kind;
  if (out.kind == ColumnKind::ids) out.offsets.push_back(0);
  for (const Run& run : runs) {
    const ColumnData& from = parts[run.import];
    int64_t begin = run.begin, end = run.end;
    if (out.kind == ColumnKind::real) {
      out.reals.insert(out.reals.end(), from.reals.begin() + begin, from.reals.begin() + end);
      continue;
    }
    if (out.kind == ColumnKind::ids) {
      begin = from.offsets[static_cast<size_t>(run.begin)];
      end = from.offsets[static_cast<size_t>(run.end)];
      const int64_t shift = static_cast<int64_t>(out.ids.size()) - begin;
      for (int64_t row = run.begin; row < run.end; ++row)
        out.offsets.push_back(from.offsets[static_cast<size_t>(row) + 1] + shift);
    }
    out.ids.insert(out.ids.end(), from.ids.begin() + begin, from.ids.begin() + end);
  }
  return out;
}

// Takes a member of each import and puts the rows of all in the order of `runs`.
template <typename Member>
auto gathered(std::vector<EventsOfImport>& imports, Member member, const std::vector<Run>& runs) {
  std::vector<std::remove_reference_t<decltype(member(imports.front()))>> taken;
  for (auto& import : imports) taken.push_back(std::move(member(import)));
  if (taken.size() == 1 && runs.size() == 1) return std::move(taken.front());
  return gathered(taken, runs);
}

// The row of /user that described each user last.
std::vector<Run> rows_of_users(const std::vector<EventsOfImport>& imports, int64_t users,
                               std::vector<int64_t>& user_id) {
  int64_t rows = 0;
  for (const auto& import : imports) rows += static_cast<int64_t>(import.described.size());
  if (rows < users)  // before memory is asked for as many as dataset.yaml says
    throw UserError(str(imports.back().path, ": /user/row: found ", rows,
                        " rows with those of imports before, expected ", users, " users or more"));
  std::vector<Run> last(static_cast<size_t>(users), Run{0, 0, 0});
  user_id.assign(static_cast<size_t>(users), -1);
  int64_t known = 0;
  for (size_t i = 0; i < imports.size(); ++i) {
    const EventsOfImport& import = imports[i];
    known += import.info.users;
    import.check_rows("/user/row", import.described, known);
    for (size_t row = 0; row < import.described.size(); ++row) {
      const auto user = static_cast<size_t>(import.described[row]);
      const auto begin = static_cast<int64_t>(row);
      last[user] = {i, begin, begin + 1};
      user_id[user] = import.ids[row];
    }
  }
  std::vector<Run> runs;
  for (size_t user = 0; user < last.size(); ++user) {
    if (last[user].end == 0)
      throw UserError(str(imports.back().path, ": /user/row: user ", user, " is described nowhere"));
    append_run(runs, last[user]);
  }
  return runs;
}

// Each user's events, import by import.
std::vector<Run> rows_of_histories(const std::vector<EventsOfImport>& imports, int64_t users,
                                   std::vector<int64_t>& user_offsets) {
  std::vector<size_t> first(static_cast<size_t>(users) + 1);  // of a user's runs
  user_offsets.assign(static_cast<size_t>(users) + 1, 0);
  for (const auto& import : imports) {
    import.check_rows("/history/user", import.history_user, users);
    for (size_t h = 0; h < import.history_user.size(); ++h) {
      const auto next = static_cast<size_t>(import.history_user[h]) + 1;
      ++first[next];
      user_offsets[next] += import.history_offsets[h + 1] - import.history_offsets[h];
    }
  }
  std::partial_sum(first.begin(), first.end(), first.begin());
  std::partial_sum(user_offsets.begin(), user_offsets.end(), user_offsets.begin());
  std::vector<Run> by_user(first.back());
  for (size_t i = 0; i < imports.size(); ++i)
    for (size_t h = 0; h < imports[i].history_user.size(); ++h)
      by_user[first[static_cast<size_t>(imports[i].history_user[h])]++] = {i, imports[i].history_offsets[h],
                                                                           imports[i].history_offsets[h + 1]};
  std::vector<Run> runs;
  for (const Run& run : by_user) append_run(runs, run);
  return runs;
}

}  // namespace

EventsPart::EventsPart(const Dataset& dataset, int64_t part, const ReadPlan& plan, const ItemTable& items)
    : path(dataset.events_path(part)) {
  std::vector<EventsOfImport> imports;
  for (size_t i = 0; i < dataset.imports().size(); ++i)
    imports.emplace_back(dataset, part, static_cast<int64_t>(i), plan);
  const int64_t user_rows = dataset.part_info(part).users;
  const std::vector<Run> described = rows_of_users(imports, user_rows, user_id);
  const std::vector<Run> histories = rows_of_histories(imports, user_rows, user_offsets);
  for (size_t c = 0; c < plan.user_columns.size(); ++c)
    user_columns.push_back(gathered(
        imports, [&](auto& import) -> auto& { return import.user_columns[c]; }, described));
  for (size_t c = 0; c < plan.event_columns.size(); ++c)
    event_columns.push_back(gathered(
        imports, [&](auto& import) -> auto& { return import.event_columns[c]; }, histories));
  if (plan.event_time) {
    time = gathered(
        imports, [](auto& import) -> auto& { return import.time; }, histories);
    for (size_t u = 0; u + 1 < user_offsets.size(); ++u)
      if (!std::is_sorted(time.begin() + user_offsets[u], time.begin() + user_offsets[u + 1]))
        throw UserError(str(path, ": /event/time: user ", user_id[u], ": expected events in order of time"));
  }
  if (plan.event_item || plan.event_item_row)
    item = gathered(
        imports, [](auto& import) -> auto& { return import.item; }, histories);
  if (plan.event_item_row) {
    item_row.resize(item.size());
    items.rows_of(item, item_row.data());
    if (!plan.event_item) std::vector<int64_t>().swap(item);
  }
}

int64_t EventsPart::bytes() const {
  return bytes_of(user_id) + bytes_of(user_offsets) + bytes_of(time) + bytes_of(item) + bytes_of(item_row) +
         bytes_of(user_columns) + bytes_of(event_columns);
}

}  // namespace lime
