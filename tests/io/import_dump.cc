#include "tests/io/import_dump.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "io/hdf5_file.h"
#include "runtime/error.h"

namespace lime {
namespace {

// The columns of one group of a file, for `rows` rows.
std::vector<DumpedRow> read_rows(const Hdf5File& file, const DatasetSchema& schema, ColumnGroup group,
                                 size_t rows) {
  std::vector<DumpedRow> out(rows);
  for (const auto& column : schema.columns) {
    if (column.group != group) continue;
    const std::string path = str("/", to_string(group), "/", column.name);
    if (column.kind == ColumnKind::id) {
      const auto values = file.read<int64_t>(path);
      for (size_t i = 0; i < rows; ++i) out[i].ids[column.name] = values.at(i);
    } else if (column.kind == ColumnKind::real) {
      const auto values = file.read<float>(path);
      for (size_t i = 0; i < rows; ++i) out[i].reals[column.name] = values.at(i);
    } else {
      const auto offsets = file.read<int64_t>(path + "/offsets"),
                 values = file.read<int64_t>(path + "/values");
      for (size_t i = 0; i < rows; ++i)
        out[i].lists[column.name].assign(values.begin() + offsets.at(i), values.begin() + offsets.at(i + 1));
    }
  }
  return out;
}

// A part's users by row, with their events: the imports one after the other.
struct PartUsers {
  std::vector<int64_t> id;
  std::vector<std::vector<DumpedEvent>> events;
};

PartUsers dump_users(const Dataset& dataset, int64_t part, DumpedDataset& out) {
  PartUsers users;
  for (size_t i = 0; i < dataset.imports().size(); ++i) {
    const Hdf5File file(dataset.events_path(part, static_cast<int64_t>(i)), Hdf5File::Mode::read);
    const auto rows = file.read<int64_t>("/user/row"), ids = file.read<int64_t>("/user/id"),
               histories = file.read<int64_t>("/history/user"),
               offsets = file.read<int64_t>("/history/offsets"), times = file.read<int64_t>("/event/time"),
               items = file.read<int64_t>("/event/item");
    const auto user_rows = read_rows(file, dataset.schema(), ColumnGroup::user, ids.size());
    const auto event_rows = read_rows(file, dataset.schema(), ColumnGroup::event, times.size());
    for (size_t u = 0; u < ids.size(); ++u) {
      const auto row = static_cast<size_t>(rows[u]);
      if (row >= users.id.size()) {
        users.id.resize(row + 1);
        users.events.resize(row + 1);
      }
      users.id[row] = ids[u];
      out.users[ids[u]] = user_rows[u];
    }
    for (size_t h = 0; h < histories.size(); ++h)
      for (auto e = static_cast<size_t>(offsets[h]); e < static_cast<size_t>(offsets[h + 1]); ++e)
        users.events.at(static_cast<size_t>(histories[h])).push_back({times[e], items[e], event_rows[e].ids});
  }
  return users;
}

void dump_part(const Dataset& dataset, int64_t part, DumpedDataset& out) {
  const auto& schema = dataset.schema();
  const PartUsers users = dump_users(dataset, part, out);
  for (size_t row = 0; row < users.id.size(); ++row) {
    out.events[users.id[row]] = users.events[row];
    out.parts[users.id[row]] = part;
  }
  for (const auto& day : dataset.days()) {
    const Hdf5File file(dataset.day_path(day.day, part), Hdf5File::Mode::read);
    const auto user = file.read<int64_t>("/request/user"), time = file.read<int64_t>("/request/time"),
               end = file.read<int64_t>("/request/history_end"),
               candidates = file.read<int64_t>("/candidate/offsets"),
               item = file.read<int64_t>("/candidate/item");
    const auto request_rows = read_rows(file, schema, ColumnGroup::request, time.size());
    const auto candidate_rows = read_rows(file, schema, ColumnGroup::candidate, item.size());
    std::map<std::string, std::vector<float>> labels, weights;
    for (const auto& name : schema.labels) labels[name] = file.read<float>("/label/" + name);
    for (const auto& name : schema.weights) weights[name] = file.read<float>("/weight/" + name);
    for (size_t r = 0; r < time.size(); ++r) {
      const auto row = static_cast<size_t>(user[r]);
      DumpedRequest request{day.day, users.id.at(row), time[r], {}, {}, request_rows[r].ids, {}};
      const auto& all = users.events[row];
      request.history.assign(all.begin(), all.begin() + end[r]);
      request.later.assign(all.begin() + end[r], all.end());
      for (auto c = static_cast<size_t>(candidates[r]); c < static_cast<size_t>(candidates[r + 1]); ++c) {
        DumpedCandidate candidate{item[c], {}, {}, candidate_rows[c].reals};
        for (const auto& [name, values] : labels) candidate.labels[name] = values.at(c);
        for (const auto& [name, values] : weights) candidate.weights[name] = values.at(c);
        request.candidates.push_back(candidate);
      }
      out.requests.push_back(request);
    }
  }
}

}  // namespace

const DumpedRequest& DumpedDataset::request(int64_t user, int64_t time) const {
  for (const auto& request : requests)
    if (request.user == user && request.time == time) return request;
  throw Error(str("no request of user ", user, " at ", time));
}

bool operator==(const DumpedRow& a, const DumpedRow& b) {
  const auto same = [](const auto& x, const auto& y) {
    return x.first == y.first && (x.second == y.second || (std::isnan(x.second) && std::isnan(y.second)));
  };
  return a.ids == b.ids && a.lists == b.lists && std::ranges::equal(a.reals, b.reals, same);
}

DumpedDataset dump(const Dataset& dataset) {
  DumpedDataset out;
  for (int64_t part = 0; part < dataset.parts(); ++part) dump_part(dataset, part, out);
  std::stable_sort(out.requests.begin(), out.requests.end(),
                   [](const DumpedRequest& a, const DumpedRequest& b) {
                     return std::tie(a.day, a.user, a.time) < std::tie(b.day, b.user, b.time);
                   });
  if (dataset.items() > 0) {
    const Hdf5File file(dataset.items_path(), Hdf5File::Mode::read);
    const auto ids = file.read<int64_t>("/item/id");
    const auto rows = read_rows(file, dataset.schema(), ColumnGroup::item, ids.size());
    for (size_t i = 0; i < ids.size(); ++i) out.items[ids[i]] = rows[i];
  }
  return out;
}

}  // namespace lime
