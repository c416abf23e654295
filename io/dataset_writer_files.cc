// The files of an import: users and events, days, items, index.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include "io/dataset_writer_impl.h"
#include "io/import_values.h"
#include "io/item_rows.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"

namespace lime {
namespace fs = std::filesystem;
namespace {

int64_t file_bytes(const std::string& path) { return static_cast<int64_t>(fs::file_size(path)); }

// The rows of a sorter keyed by user, walked in step with ascending ids.
class Lookup {
 public:
  using Refuse =
      std::function<void(const SortKey& first, const SortKey& again)>;  // of one that is there twice
  Lookup(ExternalSorter& rows, Refuse refuse) : rows_(rows), refuse_(std::move(refuse)) { advance(); }
  // The record of `id`, or null. Ids must ascend from call to call.
  const std::string* find(int64_t id) {
    while (more_ && key_.major < id) advance();
    return more_ && key_.major == id ? &record_ : nullptr;
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
    if (!first && rows_.key().major == key_.major) refuse_(key_, rows_.key());
    key_ = rows_.key();
    record_ = rows_.record();
  }
  ExternalSorter& rows_;
  Refuse refuse_;
  bool more_ = false;
  SortKey key_;
  std::string record_;
};

}  // namespace

struct DatasetWriter::Impl::EventsFolder {
  std::vector<std::string> paths;
  std::vector<std::unique_ptr<EventsPartFile>> parts;
  std::vector<int64_t> users;           // so far, by part: the next new user's row
  std::vector<int64_t> day_order;       // by code: order of time
  bool event = false, request = false;  // whether the sorters stand at one
  int64_t done = 0;
  RowValues values;
};

// Chunks of 1 MiB, less where so many columns are open at once that they would not fit.
H5Options DatasetWriter::Impl::h5_options(int64_t open_columns) const {
  H5Options h5;
  h5.compression = options.compression;
  h5.chunk_bytes = std::clamp<int64_t>(memory() / 4 / std::max<int64_t>(open_columns, 1), int64_t{16} << 10,
                                       h5.chunk_bytes);
  return h5;
}

std::unique_ptr<UserIndexReader> DatasetWriter::Impl::known_users() const {
  if (!target.before) return nullptr;
  return std::make_unique<UserIndexReader>(target.before->index_path(), target.before->users());
}

void DatasetWriter::Impl::assign_parts() {
  std::vector<int64_t> part_load(static_cast<size_t>(options.parts));
  if (target.before)
    for (size_t p = 0; p < part_load.size(); ++p) {
      part_load[p] = target.before->part_info(static_cast<int64_t>(p)).events;
      for (const auto& day : target.before->days()) part_load[p] += day.part_requests[p];
    }
  assignment.assign(std::move(part_load), known_users().get(), memory() / 4);
}

// Walks what is known of users, their events and their requests together, by user and time.
void DatasetWriter::Impl::write_users(ExternalSorter& by_day) {
  const auto columns =
      static_cast<int64_t>(6 + 2 * layouts.user.columns().size() + 2 * layouts.event.columns().size());
  const H5Options h5 = h5_options(columns * options.parts);
  EventsFolder folder;
  for (int64_t p = 0; p < options.parts; ++p) {
    folder.paths.push_back(events_file(directory.path(), p, options.parts));
    folder.parts.push_back(std::make_unique<EventsPartFile>(folder.paths.back(), layouts, h5));
    folder.users.push_back(target.before ? target.before->part_info(p).users : 0);
  }
  folder.day_order.resize(day_codes.size());
  for (int64_t order = 0; const auto& [day, code] : day_codes) {
    folder.day_order[static_cast<size_t>(code)] = order++;
    days.emplace_back();
    days.back().day = day;
    days.back().import = target.number;
  }
  import.parts.resize(folder.parts.size());
  UserIndexFile index(index_file(directory.path()), h5);
  Lookup user_rows(
      users, [this](const SortKey& first, const SortKey& again) { refuse_twice("user", first, again); });
  const auto old = known_users();
  bool known = old && old->next();
  folder.event = events.next(), folder.request = requests.next();
  while (known || folder.event || folder.request) {
    int64_t user = std::numeric_limits<int64_t>::max();
    if (known) user = old->entry().id;
    if (folder.event) user = std::min(user, events.key().major);
    if (folder.request) user = std::min(user, requests.key().major);
    UserEntry entry;
    const bool is_known = known && old->entry().id == user;
    if (is_known) {
      entry = old->entry();
      known = old->next();
    } else {
      entry.id = user;
      entry.part = assignment.part_of(user);
    }
    const std::string* features = user_rows.find(user);
    described_users += features != nullptr;
    write_user(folder, entry, is_known, features);
    write_rows(folder, entry, is_known, by_day);
    index.add(entry);
  }
  user_rows.finish();
  index.close();
  for (size_t p = 0; p < folder.parts.size(); ++p) {
    auto& file = *folder.parts[p];
    file.close();
    PartInfo& info = import.parts[p];
    info.described = file.described();
    info.histories = file.histories();
    info.events = file.events();
    info.bytes = file_bytes(folder.paths[p]);
    added.users += info.users;
    added.events += info.events;
  }
}

void DatasetWriter::Impl::write_user(EventsFolder& folder, UserEntry& entry, bool known,
                                     const std::string* features) {
  const auto part = static_cast<size_t>(entry.part);
  const int64_t hash = features ? hashed_id(*features) : entry.features;
  if (known && hash == entry.features) return;
  entry.features = hash;
  if (!known) {
    entry.row = folder.users[part]++;
    ++import.parts[part].users;
  }
  added.changed_users += known;
  if (features) {
    RecordReader reader(*features);
    layouts.user.decode(reader, folder.values);
  } else {
    folder.values = layouts.user.missing();
  }
  folder.parts[part]->describe_user(entry.row, entry.id, folder.values);
}

// The user's events and requests in order of time; of the same time, requests first: they do not see the
// events.
void DatasetWriter::Impl::write_rows(EventsFolder& folder, UserEntry& entry, bool known,
                                     ExternalSorter& by_day) {
  EventsPartFile& file = *folder.parts[static_cast<size_t>(entry.part)];
  const int64_t closed_ms = known ? entry.last_ms : std::numeric_limits<int64_t>::min();
  bool has_history = false;
  for (;;) {
    const bool own_event = folder.event && events.key().major == entry.id;
    const bool own_request = folder.request && requests.key().major == entry.id;
    if (!own_event && !own_request) break;
    progress("events", ++folder.done, event_count + request_count);
    if (own_event && (!own_request || events.key().middle < requests.key().middle)) {
      const int64_t time = events.key().middle;
      if (time < closed_ms) {
        ++added.late_events;
      } else {
        if (!std::exchange(has_history, true)) file.begin_history(entry.row);
        RecordReader reader(events.record());
        const auto item = reader.get<int64_t>();
        layouts.event.decode(reader, folder.values);
        file.add_event(time, item, folder.values);
        entry.pass(time, true);
      }
      folder.event = events.next();
      continue;
    }
    const SortKey& key = requests.key();
    const std::string_view bytes = requests.record();
    const auto code = static_cast<size_t>(RecordReader(bytes).get<int64_t>());
    if (key.middle < closed_ms) {
      ++added.late_requests;
    } else {
      record.clear();
      record.put(entry.row);
      record.put(entry.events_before(key.middle));
      record.put_all(bytes.data() + sizeof(int64_t), bytes.size() - sizeof(int64_t));
      by_day.add({folder.day_order[code] * options.parts + entry.part, key.middle, entry.id, key.sequence},
                 record.view());
      if (by_day.buffered_bytes() > memory() / 4) by_day.spill();
      entry.pass(key.middle, false);
    }
    folder.request = requests.next();
  }
}

void DatasetWriter::Impl::write_days(ExternalSorter& by_day) {
  const H5Options h5 = h5_options(16);
  bool more = by_day.next();
  int64_t done = 0, order = 0;
  std::vector<DayInfo> planned = std::exchange(days, {});
  for (auto& info : planned) {
    const int64_t first = order++ * options.parts;
    if (!more || by_day.key().major >= first + options.parts) continue;  // all its requests are late
    directory.make_folder("days/" + info.day);
    for (int64_t p = 0; p < options.parts; ++p) {
      const std::string path = day_file(directory.path(), info.day, p, options.parts);
      DayPartFile file(path, schema, layouts, h5);
      for (; more && by_day.key().major == first + p; more = by_day.next()) {
        RecordReader reader(by_day.record());
        const auto row = reader.get<int64_t>(), history_end = reader.get<int64_t>();
        file.add_request(row, by_day.key().middle, history_end, reader);
        progress("days", ++done, request_count);
      }
      file.close();
      info.part_requests.push_back(file.requests());
      info.part_candidates.push_back(file.candidates());
      info.part_bytes.push_back(file_bytes(path));
      info.requests += file.requests();
      info.candidates += file.candidates();
    }
    sync_path(directory.path() + "/days/" + info.day);
    added.requests += info.requests;
    added.candidates += info.candidates;
    added.days.push_back(info.day);
    days.push_back(std::move(info));
  }
}

// The whole table: that of the dataset, with the new rows in it or in the place of old ones. None where that
// is the table that the dataset has.
void DatasetWriter::Impl::write_items() {
  const bool has_table = target.before && target.before->items_bytes() > 0;
  bool more = items.next();
  if (!more && (has_table || layouts.item.columns().empty())) return;
  const std::string path = directory.path() + "/items.h5";
  ItemsFile file(path, layouts, h5_options(16));
  std::optional<ItemRows> old;
  if (has_table) old.emplace(*target.before, layouts.item);
  bool more_old = old && old->next();
  RowValues values;
  for (SortKey last{-1}; more || more_old;) {
    if (!more || (more_old && old->id() < items.key().major)) {
      file.add_item(old->id(), old->values());
      more_old = old->next();
      continue;
    }
    const int64_t id = items.key().major;
    if (id == last.major) refuse_twice("item", last, items.key());
    last = items.key();
    RecordReader reader(items.record());
    layouts.item.decode(reader, values);
    const bool replaces = more_old && old->id() == id;
    added.new_items += !replaces;
    added.changed_items += replaces && old->values() != values;
    file.add_item(id, values);
    if (replaces) more_old = old->next();
    more = items.next();
  }
  file.close();
  if (has_table && added.new_items + added.changed_items == 0) {
    fs::remove(path);
    return;
  }
  import.items = file.items();
  import.items_bytes = file_bytes(path);
}

}  // namespace lime
