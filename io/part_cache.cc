#include "io/part_cache.h"

#include <algorithm>
#include <utility>

#include "io/part_files.h"
#include "runtime/error.h"

namespace lime {
namespace {

bool is_integer(H5Type type) { return type != H5Type::f32 && type != H5Type::f64; }

void check_rows(const Hdf5File& file, const std::string& name, int64_t rows) {
  const auto shape = file.shape(name);
  if (shape.size() != 1) throw UserError(str(file.path(), ": ", name, ": has 2 dimensions, expected 1"));
  if (shape[0] != rows)
    throw UserError(str(file.path(), ": ", name, ": has ", shape[0], " rows, expected ", rows));
}

template <typename T>
int64_t bytes_of(const std::vector<T>& values) {
  return static_cast<int64_t>(values.capacity() * sizeof(T));
}

int64_t bytes_of(const std::vector<ColumnData>& columns) {
  int64_t bytes = 0;
  for (const auto& column : columns) bytes += column.bytes();
  return bytes;
}

size_t index_of(std::vector<ColumnSchema>& columns, const ColumnSchema& column) {
  const auto found = std::find(columns.begin(), columns.end(), column);
  if (found != columns.end()) return static_cast<size_t>(found - columns.begin());
  columns.push_back(column);
  return columns.size() - 1;
}

}  // namespace

int64_t ColumnData::bytes() const { return bytes_of(ids) + bytes_of(offsets) + bytes_of(reals); }

std::vector<int64_t> load_integers(const Hdf5File& file, const std::string& name, int64_t begin, int64_t end,
                                   int64_t rows) {
  check_rows(file, name, rows);
  if (!is_integer(file.type(name)))
    throw UserError(str(file.path(), ": ", name, ": holds reals, expected integers"));
  return file.read<int64_t>(name, begin, end);
}

std::vector<float> load_reals(const Hdf5File& file, const std::string& name, int64_t begin, int64_t end,
                              int64_t rows) {
  check_rows(file, name, rows);
  return file.read<float>(name, begin, end);
}

void check_offsets(const Hdf5File& file, const std::string& name, const std::vector<int64_t>& offsets,
                   int64_t first, int64_t limit) {
  const bool good = !offsets.empty() && offsets.front() >= first && offsets.back() <= limit &&
                    std::is_sorted(offsets.begin(), offsets.end());
  if (!good)
    throw UserError(str(file.path(), ": ", name, ": expected ascending offsets from ", first, " to ", limit));
}

ColumnData load_column(const Hdf5File& file, const std::string& prefix, const ColumnSchema& column,
                       int64_t begin, int64_t end, int64_t rows) {
  const std::string name = prefix + "/" + column.name;
  ColumnData data;
  data.kind = column.kind;
  if (column.kind == ColumnKind::id) {
    data.ids = load_integers(file, name, begin, end, rows);
  } else if (column.kind == ColumnKind::real) {
    data.reals = load_reals(file, name, begin, end, rows);
  } else {
    const int64_t values = file.shape(name + "/values").front();
    data.offsets = load_integers(file, name + "/offsets", begin, end + 1, rows + 1);
    check_offsets(file, name + "/offsets", data.offsets, 0, values);
    data.ids = load_integers(file, name + "/values", data.offsets.front(), data.offsets.back(), values);
    const int64_t first = data.offsets.front();
    for (auto& offset : data.offsets) offset -= first;
  }
  return data;
}

ReadPlan::ReadPlan(const DatasetSchema& schema, const BatchSpec& spec, HistoryMode mode)
    : resolved(resolve_features(schema, spec)) {
  const bool histories = mode != HistoryMode::none;
  history = sources(resolved.history, schema.columns);
  candidate = sources(resolved.candidate, schema.columns);
  user = sources(resolved.user, schema.columns);
  for (const auto& source : candidate) candidate_item_row |= source.from == FeatureSource::From::item_column;
  event_time = mode == HistoryMode::frozen || mode == HistoryMode::stranger;
  for (const auto& source : history) {
    event_item |= histories && source.from == FeatureSource::From::own_id;
    event_time |= histories && source.from == FeatureSource::From::age;
    event_item_row |= histories && source.from == FeatureSource::From::item_column;
  }
  if (!histories) event_columns.clear();
}

std::vector<ColumnSchema>& ReadPlan::columns_of(ColumnGroup group) {
  switch (group) {
    case ColumnGroup::user:
      return user_columns;
    case ColumnGroup::event:
      return event_columns;
    case ColumnGroup::request:
      return request_columns;
    case ColumnGroup::candidate:
      return candidate_columns;
    default:
      return item_columns;
  }
}

std::vector<FeatureSource> ReadPlan::sources(const std::vector<ResolvedFeature>& features,
                                             const std::vector<ColumnSchema>& schema) {
  using From = FeatureSource::From;
  std::vector<FeatureSource> result;
  for (const auto& feature : features) {
    const ColumnSchema column{feature.name, feature.source, feature.kind};
    if (std::find(schema.begin(), schema.end(), column) ==
        schema.end()) {  // not a column: known to every dataset
      result.push_back({feature.name == "age" ? From::age : From::own_id, ColumnKind::id, 0});
      continue;
    }
    const From from = feature.source == ColumnGroup::item   ? From::item_column
                      : feature.source == ColumnGroup::user ? From::user_column
                                                            : From::own_column;
    result.push_back({from, feature.kind, index_of(columns_of(feature.source), column)});
  }
  return result;
}

ItemTable::ItemTable(const Dataset& dataset, const std::vector<ColumnSchema>& columns) {
  if (!columns.empty()) load(dataset.items_path(), dataset.items(), columns);
}

ItemTable::ItemTable(const std::string& path, const std::vector<ColumnSchema>& columns) {
  load(path, std::nullopt, columns);
}

void ItemTable::load(const std::string& path, std::optional<int64_t> expected,
                     const std::vector<ColumnSchema>& columns) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  check_part_file(file, "items");
  const int64_t rows = expected ? *expected : file.shape("/item/id").front();
  LIME_CHECK(rows < INT32_MAX, "items.h5 has ", rows, " rows");
  id_ = load_integers(file, "/item/id", 0, rows, rows);
  for (size_t row = 1; row < id_.size(); ++row)
    if (id_[row - 1] >= id_[row])
      throw UserError(str(file.path(), ": /item/id: row ", row, ": found ", id_[row],
                          ", expected ids in ascending order"));
  index_ = RowIndex(id_);
  for (const auto& column : columns) columns_.push_back(load_column(file, "/item", column, 0, rows, rows));
}

int64_t ItemTable::bytes() const { return bytes_of(id_) + index_.bytes() + bytes_of(columns_); }

EventsPart::EventsPart(const Dataset& dataset, int64_t part, const ReadPlan& plan, const ItemTable& items)
    : path(dataset.events_path(part)) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  check_part_file(file, "events");
  const auto& info = dataset.part_info()[static_cast<size_t>(part)];
  const int64_t user_rows = info.users, events = info.events;
  user_id = load_integers(file, "/user/id", 0, user_rows, user_rows);
  user_offsets = load_integers(file, "/user/offsets", 0, user_rows + 1, user_rows + 1);
  check_offsets(file, "/user/offsets", user_offsets, 0, events);
  for (const auto& column : plan.user_columns)
    user_columns.push_back(load_column(file, "/user", column, 0, user_rows, user_rows));
  for (const auto& column : plan.event_columns)
    event_columns.push_back(load_column(file, "/event", column, 0, events, events));
  if (plan.event_time) {
    time = load_integers(file, "/event/time", 0, events, events);
    for (size_t u = 0; u + 1 < user_offsets.size(); ++u)
      if (!std::is_sorted(time.begin() + user_offsets[u], time.begin() + user_offsets[u + 1]))
        throw UserError(str(path, ": /event/time: user ", user_id[u], ": expected events in order of time"));
  }
  if (plan.event_item || plan.event_item_row) item = load_integers(file, "/event/item", 0, events, events);
  if (plan.event_item_row) {
    item_row.resize(item.size());
    std::transform(item.begin(), item.end(), item_row.begin(), [&](int64_t id) { return items.row_of(id); });
    if (!plan.event_item) std::vector<int64_t>().swap(item);
  }
}

int64_t EventsPart::bytes() const {
  return bytes_of(user_id) + bytes_of(user_offsets) + bytes_of(time) + bytes_of(item) + bytes_of(item_row) +
         bytes_of(user_columns) + bytes_of(event_columns);
}

PartCache::PartCache(const Dataset& dataset, const ReadPlan& plan, const ItemTable& items, size_t capacity)
    : dataset_(dataset), plan_(plan), items_(items), capacity_(capacity) {}

// Forgets the parts that were used longest ago and that nobody reads, until one more fits.
void PartCache::make_room() {
  for (auto it = parts_.end(); parts_.size() >= capacity_ && it != parts_.begin();) {
    --it;
    if (it->second.use_count() > 1) continue;
    bytes_ -= it->second->bytes();
    it = parts_.erase(it);
  }
}

std::shared_ptr<const EventsPart> PartCache::get(int64_t part) {
  {
    std::lock_guard lock(mutex_);
    for (auto it = parts_.begin(); it != parts_.end(); ++it) {
      if (it->first != part) continue;
      parts_.splice(parts_.begin(), parts_, it);
      return it->second;
    }
    make_room();
  }
  // Outside the lock: shards share no parts, so nobody else loads this one.
  auto loaded = std::make_shared<const EventsPart>(dataset_, part, plan_, items_);
  std::lock_guard lock(mutex_);
  bytes_ += loaded->bytes();
  parts_.emplace_front(part, loaded);
  return loaded;
}

}  // namespace lime
