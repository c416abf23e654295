#include "io/import_csv.h"

#include <filesystem>
#include <limits>
#include <map>
#include <utility>

#include "io/import_csv_mapping.h"
#include "io/import_rows.h"
#include "io/import_values.h"
#include "io/log_files.h"
#include "io/request_grouper.h"
#include "runtime/text.h"

namespace lime {
namespace {

// The day that a row counts for: that of its column, or of its time. A log has many rows of a day one after
// the other, so the last one is kept.
class RowDay {
 public:
  explicit RowDay(int64_t zone_ms) : zone_ms_(zone_ms) {}

  void set_time(int64_t time_ms) { set(epoch_day(time_ms, zone_ms_)); }
  // Throws BadRow where the column holds no day.
  void read(const CsvReader& reader, size_t column) {
    if (!text_.empty() && reader.text(column) == text_) return;
    text_.clear();
    const auto found = read_day(reader.text(column));
    if (!found) reader.reject(column, "a day such as 2022-05-08 or 20220508");
    set(parse_day(*found));
    text_ = reader.text(column);
  }
  const std::string& name() const { return name_; }
  int64_t number() const { return number_; }  // days since epoch

 private:
  void set(int64_t number) {
    if (!name_.empty() && number == number_) return;
    number_ = number;
    name_ = format_day(number);
  }
  int64_t zone_ms_, number_ = 0;
  std::string name_, text_;
};

class Importer {
 public:
  Importer(const CsvImportOptions& options, CsvMapping mapping)
      : mapping_(std::move(mapping)),
        zone_ms_(parse_time_zone(mapping_.time_zone) * 60'000),
        schema_(schema_of(mapping_, "csv " + std::filesystem::path(options.mapping).filename().string())),
        options_(options.writer),
        writer_(options.out, schema_, writer_options(options.writer, !mapping_.impressions.request.empty())),
        bad_(options.max_bad_rows, report_),
        means_(schema_.labels.size()) {
    if (!mapping_.impressions.request.empty())
      grouper_.emplace(schema_, writer_.scratch(), options.writer.memory_bytes / grouping_share,
                       [](int64_t /*id*/, int64_t day) { return day; });
  }

  ImportReport run() {
    if (mapping_.users)
      read_rows(*mapping_.users,
                [&](int64_t id, const RowValues& v, TextPlace p) { writer_.add_user(id, v, p); });
    if (mapping_.items)
      read_rows(*mapping_.items,
                [&](int64_t id, const RowValues& v, TextPlace p) { writer_.add_item(id, v, p); });
    if (mapping_.events)
      for (const auto& path : expand_patterns(mapping_.events->source.patterns)) read_events(path);
    for (const auto& path : expand_patterns(mapping_.impressions.source.patterns)) read_impressions(path);
    if (grouper_) {
      grouper_->finish([&](const RequestRow& request, double done) {
        add(request);
        if (++requests_ % 65536 == 0 && options_.progress) options_.progress("requests", done);
      });
      grouper_.reset();
    }
    finish_import(writer_, means_, joined(mapping_.impressions.source.patterns), report_);
    note_events();
    for (const auto& [feature, list] : lists_)
      report_.notes.push_back(
          str(feature, " reads lists such as '", list, "' as one id each; kind: ids reads their values"));
    return std::move(report_);
  }

 private:
  // Every impression an event, since the mapping does not say which are: a history of what was shown, mostly,
  // in which nothing tells what came of it.
  void note_events() {
    const auto& spec = mapping_.impressions;
    if (report_.added || spec.names_events || mapping_.events) return;
    for (size_t k = 0; k < schema_.labels.size(); ++k)
      if (const double rate = report_.label_rates[k]; rate > 0 && rate < 1) {
        report_.notes.push_back(str("all impressions are events of histories, which do not tell ",
                                    schema_.labels[k],
                                    " 1 from 0: the mapping's `event` says which are (when), what is known "
                                    "of them (features), or: all"));
        return;
      }
  }

  static constexpr int64_t grouping_share = 4;  // of the memory, where rows are grouped into requests

  static WriterOptions writer_options(WriterOptions options, bool grouping) {
    if (grouping) options.memory_bytes -= options.memory_bytes / grouping_share;
    return options;
  }

  void add(const RequestRow& request) {
    if (writer_.add_request(request)) means_.add(request);
  }

  void progress(const CsvReader& reader) const {
    if (reader.rows() % 65536 == 0 && options_.progress)
      options_.progress("read " + std::filesystem::path(reader.path()).filename().string(),
                        reader.fraction());
  }

  template <typename Add>
  void read_rows(const CsvRows& rows, Add&& add_row) {
    for (const auto& path : expand_patterns(rows.source.patterns)) {
      CsvReader reader = open_source(rows, path);
      const size_t key = reader.column(rows.key);
      CsvFeatureReader features(reader, rows.features);
      RowValues values;
      for_each_row(reader, bad_, report_, [&] {
        features.read(values);
        add_row(read_entity(reader, key), values, reader.place());
        progress(reader);
      });
      lists_.merge(features.lists());
    }
  }

  void read_events(const std::string& path) {
    const auto& spec = *mapping_.events;
    CsvReader reader = open_source(spec, path);
    const size_t user = reader.column(spec.user);
    std::optional<size_t> item;
    if (!spec.item.empty()) item = reader.column(spec.item);
    const CsvTimeReader time(reader, spec.time, zone_ms_);
    CsvFeatureReader features(reader, spec.features);
    EventRow event;
    for_each_row(reader, bad_, report_, [&] {
      event.user = read_entity(reader, user);
      event.item = item ? read_entity(reader, *item) : -1;
      event.time_ms = time.read();
      features.read(event.values);
      writer_.add_event(event);
      progress(reader);
    });
    lists_.merge(features.lists());
  }

  void read_impressions(const std::string& path) {
    const auto& spec = mapping_.impressions;
    CsvReader reader = open_source(spec, path);
    const size_t user = reader.column(spec.user), item = reader.column(spec.item),
                 day_column = spec.day.empty() ? 0 : reader.column(spec.day),
                 request_id = spec.request.empty() ? 0 : reader.column(spec.request);
    const CsvTimeReader time(reader, spec.time, zone_ms_);
    CsvFeatureReader request_features(reader, spec.request_features),
        candidate_features(reader, spec.candidate_features), event_features(reader, spec.event_features);
    std::vector<CsvNumberReader> labels, weights;
    for (const auto& label : spec.labels) labels.emplace_back(reader, label);
    for (const auto& weight : spec.weights) weights.emplace_back(reader, weight);
    std::optional<CsvNumberReader> when;
    if (spec.event_when) when.emplace(reader, *spec.event_when);

    RowDay day(zone_ms_);
    EventRow event;
    RequestRow request;     // of a record, whose rows are its candidates
    size_t candidates = 0;  // of them, good ones so far
    int64_t record = 0;     // its line; 0: none
    const auto end_request = [&] {
      if (candidates > 0) {
        request.candidates.resize(candidates);
        add(request);
      }
      candidates = 0;
      record = 0;
    };
    for_each_row(reader, bad_, report_, [&] {
      if (record != reader.line()) {
        end_request();
        request.user = read_entity(reader, user);
        request.time_ms = time.read();
        if (spec.day.empty())
          day.set_time(request.time_ms);
        else
          day.read(reader, day_column);
        request.day = day.name();
        request_features.read(request.values);
        record = reader.line();
      }
      request.candidates.resize(candidates + 1);
      auto& candidate = request.candidates[candidates];
      candidate.item = read_entity(reader, item);
      candidate_features.read(candidate.values);
      candidate.labels.resize(labels.size());
      candidate.weights.resize(weights.size());
      for (size_t k = 0; k < labels.size(); ++k)
        candidate.labels[k] = static_cast<float>(labels[k].read(1.0));
      for (size_t k = 0; k < weights.size(); ++k)
        candidate.weights[k] = static_cast<float>(weights[k].read_or_zero(std::numeric_limits<float>::max()));
      const bool is_event = spec.makes_events && (!when || when->holds());
      if (is_event) event_features.read(event.values);
      int64_t id = 0;
      if (grouper_) id = read_entity(reader, request_id);

      if (is_event) {
        event.user = request.user;
        event.item = candidate.item;
        event.time_ms = request.time_ms;
        event.day = request.day;
        writer_.add_event(event);
      }
      if (grouper_) {
        grouper_->add(request, id, day.number());
      } else {
        ++candidates;
      }
      progress(reader);
    });
    end_request();
    for (const auto* features : {&request_features, &candidate_features, &event_features})
      lists_.merge(features->lists());
  }

  CsvMapping mapping_;
  int64_t zone_ms_;
  DatasetSchema schema_;
  const WriterOptions& options_;
  DatasetWriter writer_;
  ImportReport report_;
  BadRows bad_;
  LabelMeans means_;
  std::optional<RequestGrouper> grouper_;
  int64_t requests_ = 0;                      // that were grouped
  std::map<std::string, std::string> lists_;  // CsvFeatureReader::lists, of all files
};

}  // namespace

ImportReport import_csv(const CsvImportOptions& options) {
  return Importer(options, read_mapping(options.mapping)).run();
}

}  // namespace lime
