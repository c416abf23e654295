#include "io/dataset_writer.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <queue>
#include <unordered_map>

#include "io/external_sort.h"
#include "io/part_files.h"
#include "io/partial_directory.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"

namespace lime {
namespace fs = std::filesystem;
namespace {

int64_t file_bytes(const std::string& path) { return static_cast<int64_t>(fs::file_size(path)); }

// The rows of a sorter keyed by user or item, walked in step with ascending ids.
class Lookup {
 public:
  Lookup(ExternalSorter& rows, const char* what) : rows_(rows), what_(what) { advance(); }
  // The record of `id`, or null. Ids must ascend from call to call.
  const std::string* find(int64_t id) {
    while (more_ && id_ < id) advance();
    return more_ && id_ == id ? &record_ : nullptr;
  }
  // Walks to the end, so that every row has been checked.
  void finish() {
    while (more_) advance();
  }

 private:
  void advance() {
    const bool first = !more_;
    more_ = rows_.next();
    if (!more_) return;
    if (!first && rows_.key().major == id_) throw UserError(str(what_, " ", id_, ": given twice"));
    id_ = rows_.key().major;
    record_ = rows_.record();
  }
  ExternalSorter& rows_;
  const char* what_;
  bool more_ = false;
  int64_t id_ = 0;
  std::string record_;
};

}  // namespace

struct DatasetWriter::Impl {
  PartialDirectory directory;
  DatasetSchema schema;
  WriterOptions options;
  RowLayouts layouts;
  ExternalSorter events, requests, users, items;
  std::unordered_map<int64_t, int64_t> load;  // by user: events and requests; then its part
  std::map<std::string, int64_t> day_codes;   // by day: order of appearance, as in the requests' records
  int64_t rows = 0, event_count = 0, request_count = 0;
  bool finished = false;
  RecordWriter record;

  Impl(const std::string& target, DatasetSchema dataset_schema, WriterOptions writer_options)
      : directory(target, writer_options.notice),
        schema(std::move(dataset_schema)),
        options(std::move(writer_options)),
        layouts(schema),
        events(directory.path() + "/sort", "events"),
        requests(directory.path() + "/sort", "requests"),
        users(directory.path() + "/sort", "users"),
        items(directory.path() + "/sort", "items") {}

  int64_t memory() const { return std::max<int64_t>(options.memory_bytes, int64_t{256} << 10); }

  void keep_within(int64_t bytes) {
    for (;;) {
      ExternalSorter* sorters[] = {&events, &requests, &users, &items};
      int64_t held = 0;
      for (auto* sorter : sorters) held += sorter->buffered_bytes();
      if (held <= bytes) return;
      (*std::max_element(std::begin(sorters), std::end(sorters), [](auto* a, auto* b) {
        return a->buffered_bytes() < b->buffered_bytes();
      }))->spill();
    }
  }

  void add(ExternalSorter& sorter, const SortKey& key) {
    LIME_CHECK(!finished, "a row was added after finish()");
    sorter.add(key, record.view());
    if ((rows & 63) == 0) keep_within(memory());
  }

  void progress(const char* phase, int64_t done, int64_t all) const {
    if (options.progress && (done % 65536 == 0 || done == all))
      options.progress(phase, all > 0 ? static_cast<double>(done) / static_cast<double>(all) : 1.0);
  }

  void assign_parts();
  void write_events(Dataset&, ExternalSorter& by_day);
  void write_days(Dataset&, ExternalSorter& by_day);
  void write_items(Dataset&);
  void publish(Dataset&);
  H5Options h5_options(int64_t open_columns) const;
};

// Heaviest user first, each to the lightest part: within one user's load of even, whatever order rows came
// in.
void DatasetWriter::Impl::assign_parts() {
  std::vector<std::pair<int64_t, int64_t>> order;  // -load, user
  order.reserve(load.size());
  for (const auto& [user, rows_of_user] : load) order.emplace_back(-rows_of_user, user);
  std::sort(order.begin(), order.end());
  using Part = std::pair<int64_t, int64_t>;  // load, part
  std::priority_queue<Part, std::vector<Part>, std::greater<>> parts;
  for (int64_t p = 0; p < options.parts; ++p) parts.emplace(0, p);
  for (const auto& [negative_load, user] : order) {
    auto [part_load, part] = parts.top();
    parts.pop();
    load[user] = part;
    parts.emplace(part_load - negative_load, part);
  }
}

// Chunks of 1 MiB, less where so many columns are open at once that they would not fit.
H5Options DatasetWriter::Impl::h5_options(int64_t open_columns) const {
  H5Options h5;
  h5.compression = options.compression;
  h5.chunk_bytes = std::clamp<int64_t>(memory() / 4 / std::max<int64_t>(open_columns, 1), int64_t{16} << 10,
                                       h5.chunk_bytes);
  return h5;
}

// Walks events and requests by user and time together: a request's history ends where the merge stands.
void DatasetWriter::Impl::write_events(Dataset& dataset, ExternalSorter& by_day) {
  const auto columns =
      static_cast<int64_t>(4 + 2 * layouts.user.columns().size() + 2 * layouts.event.columns().size());
  const H5Options h5 = h5_options(columns * options.parts);
  std::vector<std::unique_ptr<EventsPartFile>> parts;
  for (int64_t p = 0; p < options.parts; ++p)
    parts.push_back(std::make_unique<EventsPartFile>(dataset.events_path(p), layouts, h5));

  std::vector<int64_t> day_order(day_codes.size());  // by code: order of time
  for (int64_t order = 0; const auto& [day, code] : day_codes) day_order[static_cast<size_t>(code)] = order++;
  Lookup user_rows(users, "user");
  const RowValues missing = layouts.user.missing();
  RowValues values;
  bool event = events.next(), request = requests.next();
  const int64_t all = event_count + request_count;
  int64_t done = 0;
  while (event || request) {
    const int64_t user = !request ? events.key().major
                         : !event ? requests.key().major
                                  : std::min(events.key().major, requests.key().major);
    const int64_t part = load.at(user);
    EventsPartFile& file = *parts[static_cast<size_t>(part)];
    if (const std::string* row = user_rows.find(user)) {
      RecordReader reader(*row);
      layouts.user.decode(reader, values);
      file.add_user(user, values);
    } else {
      file.add_user(user, missing);
    }
    for (;;) {
      const bool own_event = event && events.key().major == user;
      const bool own_request = request && requests.key().major == user;
      if (!own_event && !own_request) break;
      progress("events", ++done, all);
      if (own_event && (!own_request || events.key().middle < requests.key().middle)) {
        RecordReader reader(events.record());
        const auto item = reader.get<int64_t>();
        layouts.event.decode(reader, values);
        file.add_event(events.key().middle, item, values);
        event = events.next();
        continue;
      }
      const SortKey& key = requests.key();
      const std::string_view bytes = requests.record();
      const int64_t day = day_order[static_cast<size_t>(RecordReader(bytes).get<int64_t>())];
      record.clear();
      record.put(file.events());
      record.put_all(bytes.data() + sizeof(int64_t), bytes.size() - sizeof(int64_t));
      by_day.add({day * options.parts + part, key.middle, file.users() - 1, key.sequence}, record.view());
      if (by_day.buffered_bytes() > memory() / 4) by_day.spill();
      request = requests.next();
    }
  }
  user_rows.finish();
  for (int64_t p = 0; p < options.parts; ++p) {
    auto& file = *parts[static_cast<size_t>(p)];
    file.close();
    dataset.part_info_.push_back({file.users(), file.events(), file_bytes(dataset.events_path(p))});
    dataset.users_ += file.users();
    dataset.events_ += file.events();
  }
}

void DatasetWriter::Impl::write_days(Dataset& dataset, ExternalSorter& by_day) {
  const H5Options h5 = h5_options(16);
  bool more = by_day.next();
  int64_t done = 0;
  for (size_t d = 0; d < dataset.days_.size(); ++d) {
    auto& info = dataset.days_[d];
    directory.make_folder("days/" + info.day);
    for (int64_t p = 0; p < options.parts; ++p) {
      const std::string path = dataset.day_path(info.day, p);
      DayPartFile file(path, schema, layouts, h5);
      for (; more && by_day.key().major == static_cast<int64_t>(d) * options.parts + p;
           more = by_day.next()) {
        RecordReader reader(by_day.record());
        const auto history_end = reader.get<int64_t>();
        file.add_request(by_day.key().minor, by_day.key().middle, history_end, reader);
        progress("days", ++done, request_count);
      }
      file.close();
      info.part_requests.push_back(file.requests());
      info.part_candidates.push_back(file.candidates());
      info.part_bytes.push_back(file_bytes(path));
      info.requests += file.requests();
      info.candidates += file.candidates();
    }
    sync_path(dataset.directory_ + "/days/" + info.day);
  }
}

void DatasetWriter::Impl::write_items(Dataset& dataset) {
  bool more = items.next();
  if (!more && layouts.item.columns().empty()) return;
  ItemsFile file(dataset.items_path(), layouts, h5_options(16));
  RowValues values;
  for (int64_t last = 0; more; more = items.next()) {
    const int64_t id = items.key().major;
    if (file.items() > 0 && id == last) throw UserError(str("item ", id, ": given twice"));
    last = id;
    RecordReader reader(items.record());
    layouts.item.decode(reader, values);
    file.add_item(id, values);
  }
  file.close();
  dataset.items_ = file.items();
  dataset.items_bytes_ = file_bytes(dataset.items_path());
}

// Everything is on the disk before the name appears.
void DatasetWriter::Impl::publish(Dataset& dataset) {
  write_durably(directory.path() + "/dataset.yaml", dataset.text());
  for (const char* folder : {"/events", "/days", ""}) sync_path(directory.path() + folder);
  Dataset::open(directory.path());
  directory.publish();
}

DatasetWriter::DatasetWriter(const std::string& directory, DatasetSchema schema, WriterOptions options) {
  check_schema(schema);
  LIME_CHECK(options.parts >= 1 && options.parts <= 99999, "parts is ", options.parts);
  std::string target = directory;
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  if (target.empty()) throw UserError("the dataset's directory is empty, expected a path");
  if (fs::exists(target)) {
    if (!options.overwrite)
      throw UserError(str(target, ": exists already; choose another name, or replace it with --overwrite"));
    const bool ours =
        fs::is_directory(target) && (fs::is_empty(target) || fs::exists(target + "/dataset.yaml"));
    if (!ours) throw UserError(str(target, ": exists and is not a dataset, so it is not overwritten"));
  }
  impl_ = std::make_unique<Impl>(target, std::move(schema), std::move(options));
  for (const char* folder : {"events", "days"}) impl_->directory.make_folder(folder);
}

DatasetWriter::~DatasetWriter() = default;

void DatasetWriter::add_event(const EventRow& event) {
  auto& w = *impl_;
  if (event.user < 0 || event.item < -1)
    throw UserError(str("event of user ", event.user, ", item ", event.item,
                        ": expected ids of 0 or more (-1: no item)"));
  w.record.clear();
  w.record.put(event.item);
  w.layouts.event.encode(event.values, w.record);
  w.add(w.events, {event.user, event.time_ms, 0, w.rows++});
  ++w.load[event.user];
  ++w.event_count;
}

void DatasetWriter::add_request(const RequestRow& request) {
  auto& w = *impl_;
  if (request.user < 0)
    throw UserError(str("request of user ", request.user, ": expected an id of 0 or more"));
  auto day = w.day_codes.find(request.day);
  if (day == w.day_codes.end()) {
    parse_day(request.day);
    day = w.day_codes.emplace(request.day, static_cast<int64_t>(w.day_codes.size())).first;
  }
  w.record.clear();
  w.record.put(day->second);
  encode_request(request, w.schema, w.layouts, w.record);
  w.add(w.requests, {request.user, request.time_ms, 0, w.rows++});
  ++w.load[request.user];
  ++w.request_count;
}

void DatasetWriter::add_user(int64_t user, const RowValues& values) {
  auto& w = *impl_;
  w.record.clear();
  w.layouts.user.encode(values, w.record);
  w.add(w.users, {user, 0, 0, w.rows++});
}

void DatasetWriter::add_item(int64_t item, const RowValues& values) {
  auto& w = *impl_;
  if (item < 0) throw UserError(str("item ", item, ": expected an id of 0 or more"));
  w.record.clear();
  w.layouts.item.encode(values, w.record);
  w.add(w.items, {item, 0, 0, w.rows++});
}

Dataset DatasetWriter::finish() {
  auto& w = *impl_;
  LIME_CHECK(!w.finished, "finish() was called twice");
  Dataset dataset;
  dataset.directory_ = w.directory.path();
  dataset.schema_ = w.schema;
  dataset.parts_ = w.options.parts;
  w.progress("sort", 0, 1);
  w.assign_parts();
  w.keep_within(w.memory() / 2);
  for (auto* sorter : {&w.events, &w.requests, &w.users, &w.items}) sorter->seal(w.memory() / 16);
  w.progress("sort", 1, 1);
  ExternalSorter by_day(w.directory.path() + "/sort", "days");
  for (const auto& [day, code] : w.day_codes) {
    dataset.days_.emplace_back();
    dataset.days_.back().day = day;
  }
  w.write_events(dataset, by_day);
  by_day.seal(w.memory() / 4);
  w.write_days(dataset, by_day);
  w.write_items(dataset);
  fs::remove_all(w.directory.path() + "/sort");
  w.publish(dataset);
  w.finished = true;
  return Dataset::open(w.directory.target());
}

}  // namespace lime
