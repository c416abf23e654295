#include "io/part_files.h"

#include <cmath>

#include "runtime/error.h"

namespace lime {
namespace {

constexpr int64_t part_file_version = 2;

std::vector<ColumnBuffer<float>> columns_of(Hdf5File& file, const std::string& group,
                                            const std::vector<std::string>& names, const H5Options& options) {
  std::vector<ColumnBuffer<float>> columns;
  for (const auto& name : names) columns.emplace_back(file, group + "/" + name, options);
  return columns;
}

}  // namespace

void mark_part_file(Hdf5File& file, const std::string& kind) {
  file.set_attribute("/", "format", "lime-dataset");
  file.set_attribute("/", "kind", kind);
  file.set_attribute("/", "version", part_file_version);
}

void check_part_file(const Hdf5File& file, const std::string& kind) {
  const std::string format = file.has_attribute("/", "format") ? file.attribute("/", "format") : "";
  if (format != "lime-dataset")
    throw UserError(str(file.path(), ": attribute format: found '", format, "', expected 'lime-dataset'"));
  if (const auto found = file.attribute("/", "kind"); found != kind)
    throw UserError(str(file.path(), ": attribute kind: found '", found, "', expected '", kind, "'"));
  if (const auto version = file.integer_attribute("/", "version"); version != part_file_version)
    throw UserError(str(file.path(), ": attribute version: found ", version, ", this program reads version ",
                        part_file_version, version < part_file_version ? "; import the log again" : ""));
}

EventsPartFile::EventsPartFile(const std::string& path, const RowLayouts& layouts, const H5Options& options)
    : file_(path, Hdf5File::Mode::create),
      user_row_(file_, "/user/row", options),
      user_id_(file_, "/user/id", options),
      history_user_(file_, "/history/user", options),
      history_offsets_(file_, "/history/offsets", options),
      time_(file_, "/event/time", options),
      item_(file_, "/event/item", options),
      user_columns_(file_, "/user", layouts.user, options),
      event_columns_(file_, "/event", layouts.event, options) {
  mark_part_file(file_, "events");
  history_offsets_.push(0);
}

void EventsPartFile::describe_user(int64_t row, int64_t id, const RowValues& values) {
  user_row_.push(row);
  user_id_.push(id);
  user_columns_.push(values);
  ++described_;
}

void EventsPartFile::begin_history(int64_t row) {
  if (histories_ > 0) history_offsets_.push(events_);
  history_user_.push(row);
  ++histories_;
}

void EventsPartFile::add_event(int64_t time_ms, int64_t item, const RowValues& values) {
  time_.push(time_ms);
  item_.push(item);
  event_columns_.push(values);
  ++events_;
}

void EventsPartFile::close() {
  if (histories_ > 0) history_offsets_.push(events_);
  for (auto* column : {&user_row_, &user_id_, &history_user_, &history_offsets_, &time_, &item_})
    column->flush();
  user_columns_.flush();
  event_columns_.flush();
  file_.close();
}

DayPartFile::DayPartFile(const std::string& path, const DatasetSchema& schema, const RowLayouts& layouts,
                         const H5Options& options)
    : layouts_(layouts),
      file_(path, Hdf5File::Mode::create),
      user_(file_, "/request/user", options),
      time_(file_, "/request/time", options),
      history_end_(file_, "/request/history_end", options),
      candidate_offsets_(file_, "/candidate/offsets", options),
      item_(file_, "/candidate/item", options),
      request_columns_(file_, "/request", layouts.request, options),
      candidate_columns_(file_, "/candidate", layouts.candidate, options),
      labels_(columns_of(file_, "/label", schema.labels, options)),
      weights_(columns_of(file_, "/weight", schema.weights, options)) {
  mark_part_file(file_, "day");
  candidate_offsets_.push(0);
}

void encode_request(const RequestRow& request, const DatasetSchema& schema, const RowLayouts& layouts,
                    RecordWriter& out) {
  layouts.request.encode(request.values, out);
  out.put(static_cast<int64_t>(request.candidates.size()));
  for (const auto& candidate : request.candidates) {
    LIME_CHECK(
        candidate.labels.size() == schema.labels.size() && candidate.weights.size() == schema.weights.size(),
        "a candidate has ", candidate.labels.size(), " labels and ", candidate.weights.size(),
        " weights; the schema has ", schema.labels.size(), " and ", schema.weights.size());
    for (size_t i = 0; i < candidate.labels.size(); ++i)
      if (!(candidate.labels[i] >= 0.0f && candidate.labels[i] <= 1.0f))
        throw UserError(str("label ", schema.labels[i], " of user ", request.user, " at ", request.time_ms,
                            ": found ", candidate.labels[i], ", expected 0 to 1"));
    for (size_t i = 0; i < candidate.weights.size(); ++i)
      if (!(candidate.weights[i] >= 0.0f && std::isfinite(candidate.weights[i])))
        throw UserError(str("weight ", schema.weights[i], " of user ", request.user, " at ", request.time_ms,
                            ": found ", candidate.weights[i], ", expected 0 or more"));
    out.put(candidate.item);
    layouts.candidate.encode(candidate.values, out);
    out.put_all(candidate.labels.data(), candidate.labels.size());
    out.put_all(candidate.weights.data(), candidate.weights.size());
  }
}

void DayPartFile::add_request(int64_t user_row, int64_t time_ms, int64_t history_end, RecordReader record) {
  user_.push(user_row);
  time_.push(time_ms);
  history_end_.push(history_end);
  layouts_.request.decode(record, row_);
  request_columns_.push(row_);
  const auto count = record.get<int64_t>();
  for (int64_t i = 0; i < count; ++i) {
    item_.push(record.get<int64_t>());
    layouts_.candidate.decode(record, row_);
    candidate_columns_.push(row_);
    for (auto& label : labels_) label.push(record.get<float>());
    for (auto& weight : weights_) weight.push(record.get<float>());
  }
  candidate_offsets_.push(candidates_ += count);
  ++requests_;
}

void DayPartFile::close() {
  for (auto* column : {&user_, &time_, &history_end_, &candidate_offsets_, &item_}) column->flush();
  request_columns_.flush();
  candidate_columns_.flush();
  for (auto* columns : {&labels_, &weights_})
    for (auto& column : *columns) column.flush();
  file_.close();
}

ItemsFile::ItemsFile(const std::string& path, const RowLayouts& layouts, const H5Options& options)
    : file_(path, Hdf5File::Mode::create),
      id_(file_, "/item/id", options),
      columns_(file_, "/item", layouts.item, options) {
  mark_part_file(file_, "items");
}

void ItemsFile::add_item(int64_t id, const RowValues& values) {
  id_.push(id);
  columns_.push(values);
  ++items_;
}

void ItemsFile::close() {
  id_.flush();
  columns_.flush();
  file_.close();
}

}  // namespace lime
