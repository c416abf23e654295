#include "io/dataset_writer.h"

#include <algorithm>
#include <filesystem>

#include "io/dataset_writer_impl.h"
#include "io/import_values.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"

namespace lime {
namespace fs = std::filesystem;
namespace {

// "column 'price' of group candidate" -> "real", for all that a schema names.
std::map<std::string, std::string> named_columns(const DatasetSchema& schema) {
  std::map<std::string, std::string> names;
  for (const auto& column : schema.columns)
    names[str("column '", column.name, "' of group ", to_string(column.group))] =
        str("kind ", to_string(column.kind));
  for (const auto& label : schema.labels) names[str("label '", label, "'")] = "a label";
  for (const auto& weight : schema.weights) names[str("weight '", weight, "'")] = "a weight";
  return names;
}

// Throws UserError naming the first thing in which rows to add differ from the dataset's.
void check_same_schema(const std::string& dataset, const DatasetSchema& expected,
                       const DatasetSchema& found) {
  const auto refuse = [&](const std::string& what, const std::string& is, const std::string& should_be) {
    throw UserError(str(dataset, ": ", what, ": found ", is, ", expected ", should_be,
                        ", as the dataset that is added to has it"));
  };
  if (found.time_zone != expected.time_zone) refuse("time zone", found.time_zone, expected.time_zone);
  const auto items = [](const DatasetSchema& schema) { return schema.event_items ? "items" : "no items"; };
  if (found.event_items != expected.event_items) refuse("events", items(found), items(expected));
  const auto old_names = named_columns(expected), new_names = named_columns(found);
  for (const auto& [name, kind] : new_names) {
    const auto there = old_names.find(name);
    if (there == old_names.end()) refuse(name, kind, "no such column");
    if (there->second != kind) refuse(name, kind, there->second);
  }
  for (const auto& [name, kind] : old_names)
    if (!new_names.contains(name)) refuse(name, "none", kind);
}

// All but the last import's, which is the one that counts.
void remove_old_indices(const Dataset& dataset) {
  for (size_t i = 0; i + 1 < dataset.imports().size(); ++i) {
    std::error_code ignored;
    fs::remove(index_file(dataset.folder(static_cast<int64_t>(i))), ignored);
  }
}

// Removes what killed imports left in a dataset that this process holds the lock of.
void remove_leftovers(const Dataset& dataset, const std::function<void(const std::string&)>& notice) {
  remove_old_indices(dataset);
  std::vector<std::string> named;
  for (size_t i = 1; i < dataset.imports().size(); ++i)
    named.push_back(dataset.folder(static_cast<int64_t>(i)));
  std::vector<std::string> left;  // added-0001, added-0001.partial-17 and the like
  for (const auto& entry : fs::directory_iterator(dataset.directory())) {
    const std::string name = entry.path().filename().string(), path = dataset.directory() + "/" + name;
    const bool ours = name.starts_with("added-") && name.find_first_of("0123456789") == 6;
    if (ours && std::find(named.begin(), named.end(), path) == named.end()) left.push_back(path);
  }
  std::sort(left.begin(), left.end());
  for (const auto& path : left) {
    std::error_code status;
    fs::remove_all(path, status);
    if (status) throw UserError(str(path, ": cannot be removed: ", status.message()));
    if (notice) notice(str("removed ", path, ", which a killed import left"));
  }
}

}  // namespace

WriterTarget::WriterTarget(const std::string& directory, const DatasetSchema& schema,
                           const WriterOptions& options)
    : path(directory) {
  check_schema(schema);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path.empty()) throw UserError("the dataset's directory is empty, expected a path");
  const auto take_lock = [&] {
    lock.emplace(path);
    if (!lock->held()) throw UserError(str(path, ": another process is adding to it, or replaces it"));
  };
  settle_replaced(path, options.notice);
  if (options.add) {
    Dataset::describe(path);  // so that what is no dataset is told of as such
    take_lock();
    before = Dataset::open(path);
    number = static_cast<int64_t>(before->imports().size());
    check_same_schema(path, before->schema(), schema);
    remove_leftovers(*before, options.notice);
    return;
  }
  LIME_CHECK(options.parts >= 1 && options.parts <= 99999, "parts is ", options.parts);
  if (!fs::exists(path)) return;
  if (!options.overwrite)
    throw UserError(str(path, ": exists already; choose another name, or replace it with --overwrite"));
  const bool ours = fs::is_directory(path) && (fs::is_empty(path) || fs::exists(path + "/dataset.yaml"));
  if (!ours) throw UserError(str(path, ": exists and is not a dataset, so it is not overwritten"));
  take_lock();
}

DatasetWriter::Impl::Impl(const std::string& dataset, DatasetSchema dataset_schema,
                          WriterOptions writer_options)
    : target(dataset, dataset_schema, writer_options),
      schema(std::move(dataset_schema)),
      options(std::move(writer_options)),
      directory(target.folder(), options.notice),
      layouts(schema),
      assignment(scratch()),
      events(scratch(), "events", [this](int64_t user, int64_t n) { count(user, n); }),
      requests(scratch(), "requests", [this](int64_t user, int64_t n) { count(user, n); }),
      users(scratch(), "users"),
      items(scratch(), "items"),
      zone_ms(parse_time_zone(schema.time_zone) * 60'000) {
  if (target.before) {
    options.parts = target.before->parts();
    import.events_until_ms = target.before->imports().back().events_until_ms;
  }
  import.source = schema.source;
  for (const char* folder : {"events", "days"}) directory.make_folder(folder);
}

void DatasetWriter::Impl::keep_within(int64_t bytes) {
  for (;;) {
    ExternalSorter* sorters[] = {&events, &requests, &users, &items, &assignment.buffered()};
    int64_t held = 0;
    for (auto* sorter : sorters) held += sorter->buffered_bytes();
    if (held <= bytes) return;
    (*std::max_element(std::begin(sorters), std::end(sorters), [](auto* a, auto* b) {
      return a->buffered_bytes() < b->buffered_bytes();
    }))->spill();
  }
}

void DatasetWriter::Impl::count(int64_t user, int64_t n) {
  assignment.add(user, n);
  if (auto& loads = assignment.buffered(); loads.buffered_bytes() > memory() / 8) loads.spill();
}

void DatasetWriter::Impl::add(ExternalSorter& sorter, const SortKey& key) {
  LIME_CHECK(!finished, "a row was added after finish()");
  sorter.add(key, record.view());
  keep_within(memory());
}

SortKey DatasetWriter::Impl::key_of(int64_t id, TextPlace place) {
  if (sources.empty() || sources.back() != place.path) sources.emplace_back(place.path);
  return {id, static_cast<int64_t>(sources.size()) - 1, place.line, rows++};
}

void DatasetWriter::Impl::refuse_twice(const char* what, const SortKey& first, const SortKey& again) const {
  const auto place = [&](const SortKey& key) {
    const std::string& path = sources[static_cast<size_t>(key.middle)];
    return path.empty() ? "" : str(path, ":", key.minor);
  };
  const std::string here = place(again), there = place(first);
  throw UserError(str(here, here.empty() ? "" : ": ", what, " ", again.major, ": given twice",
                      there.empty() ? "" : str(" (first ", there, ")")));
}

void DatasetWriter::Impl::progress(const char* phase, int64_t done, int64_t all) const {
  if (options.progress && (done % 65536 == 0 || done == all))
    options.progress(phase, all > 0 ? static_cast<double>(done) / static_cast<double>(all) : 1.0);
}

bool DatasetWriter::Impl::is_past(const std::string& day, int64_t& known, int64_t& late) const {
  if (!target.before || target.before->days().empty()) return false;
  const auto& there = target.before->days();
  if (day > there.back().day) return false;
  const bool has = std::ranges::binary_search(there, day, {}, &DayInfo::day);
  ++(has ? known : late);
  return true;
}

bool DatasetWriter::Impl::is_past(const EventRow& event) {
  if (!event.day.empty()) return is_past(event.day, added.known_events, added.late_events);
  const auto until = target.before ? target.before->imports().back().events_until_ms : std::nullopt;
  if (until && event.time_ms <= *until) return ++added.known_events, true;
  import.events_until_ms = std::max(import.events_until_ms.value_or(event.time_ms), event.time_ms);
  return false;
}

// Everything is on the disk before the name appears: of a new dataset its own, of rows that are added the one
// in dataset.yaml.
Dataset DatasetWriter::Impl::publish() {
  Dataset dataset;
  if (target.before) dataset = *target.before;
  dataset.imports_.push_back(import);
  dataset.days_.insert(dataset.days_.end(), days.begin(), days.end());
  dataset.count();
  for (const char* folder : {"/events", "/days", ""}) sync_path(directory.path() + folder);
  if (!target.before) {
    dataset.schema_ = schema;
    dataset.directory_ = directory.path();
    write_durably(directory.path() + "/dataset.yaml", dataset.text());
    sync_path(directory.path());
    dataset.check_files();
    directory.publish();
    return Dataset::open(target.path);
  }
  directory.publish();
  dataset.check_files();
  write_file_atomically(target.path + "/dataset.yaml", dataset.text());
  remove_old_indices(dataset);
  return Dataset::open(target.path);
}

DatasetWriter::DatasetWriter(const std::string& directory, DatasetSchema schema, WriterOptions options)
    : impl_(std::make_unique<Impl>(directory, std::move(schema), std::move(options))) {}

DatasetWriter::~DatasetWriter() = default;

void DatasetWriter::add_event(const EventRow& event) {
  auto& w = *impl_;
  if (event.user < 0 || event.item < -1)
    throw UserError(str("event of user ", event.user, ", item ", event.item,
                        ": expected ids of 0 or more (-1: no item)"));
  if (!w.schema.event_items && event.item != -1)
    throw UserError(str("event of user ", event.user, ", item ", event.item,
                        ": expected none (-1): the events of this dataset have no item"));
  if (w.is_past(event)) return;
  w.record.clear();
  w.record.put(event.item);
  w.layouts.event.encode(event.values, w.record);
  w.add(w.events, {event.user, event.time_ms, 0, w.rows++});
  ++w.event_count;
}

bool DatasetWriter::add_request(const RequestRow& request) {
  auto& w = *impl_;
  if (request.user < 0)
    throw UserError(str("request of user ", request.user, ": expected an id of 0 or more"));
  auto day = w.day_codes.find(request.day);
  if (day == w.day_codes.end()) parse_day(request.day);
  w.record.clear();
  w.record.put(day == w.day_codes.end() ? static_cast<int64_t>(w.day_codes.size()) : day->second);
  encode_request(request, w.schema, w.layouts, w.record);
  if (w.is_past(request.day, w.added.known_requests, w.added.late_requests)) return false;
  if (day == w.day_codes.end()) w.day_codes.emplace(request.day, static_cast<int64_t>(w.day_codes.size()));
  w.add(w.requests, {request.user, request.time_ms, 0, w.rows++});
  if (!w.layouts.item.columns().empty())
    for (const auto& candidate : request.candidates) w.items_shown.add(candidate.item);
  ++w.request_count;
  return true;
}

void DatasetWriter::add_user(int64_t user, const RowValues& values, TextPlace place) {
  auto& w = *impl_;
  w.record.clear();
  w.layouts.user.encode(values, w.record);
  w.add(w.users, w.key_of(user, place));
}

void DatasetWriter::add_item(int64_t item, const RowValues& values, TextPlace place) {
  auto& w = *impl_;
  if (item < 0) throw UserError(str("item ", item, ": expected an id of 0 or more"));
  w.record.clear();
  w.layouts.item.encode(values, w.record);
  w.add(w.items, w.key_of(item, place));
  w.items_shown.add_known(item);
}

Dataset DatasetWriter::finish() {
  auto& w = *impl_;
  LIME_CHECK(!w.finished, "finish() was called twice");
  const auto sorted = [&w](double share) {
    if (w.options.progress) w.options.progress("sort", share);
  };
  sorted(0);
  w.keep_within(w.memory() / 2);
  for (double share = 0; auto* sorter : {&w.events, &w.requests, &w.users, &w.items}) {
    sorter->seal(w.memory() / 16);
    sorted(share += 0.2);
  }
  w.assign_parts();
  sorted(1);
  ExternalSorter by_day(w.scratch(), "days");
  w.write_users(by_day);
  by_day.seal(w.memory() / 4);
  w.write_days(by_day);
  w.write_items();
  fs::remove_all(w.scratch());
  w.finished = true;
  if (w.target.before && !w.added.any()) return *w.target.before;
  return w.publish();
}

bool DatasetWriter::adds() const { return impl_->target.before.has_value(); }

std::string DatasetWriter::scratch() const { return impl_->scratch(); }

const AddedRows& DatasetWriter::added() const { return impl_->added; }

FeatureCoverage DatasetWriter::coverage() const {
  const auto& w = *impl_;
  FeatureCoverage coverage;
  if (adds()) return coverage;
  if (!w.layouts.user.columns().empty())
    coverage.users =
        static_cast<double>(w.described_users) / static_cast<double>(std::max<int64_t>(w.added.users, 1));
  if (!w.layouts.item.columns().empty()) coverage.items = w.items_shown.share();
  return coverage;
}

}  // namespace lime
