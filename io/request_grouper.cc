#include "io/request_grouper.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace lime {

RequestGrouper::RequestGrouper(const DatasetSchema& schema, const std::string& scratch, int64_t memory_bytes,
                               DayOf day_of)
    : memory_(memory_bytes),
      day_of_(std::move(day_of)),
      request_layout_(schema, ColumnGroup::request),
      candidate_layout_(schema, ColumnGroup::candidate),
      labels_(schema.labels.size()),
      weights_(schema.weights.size()),
      rows_(scratch, "rows") {}

void RequestGrouper::add(const RequestRow& row, int64_t first, int64_t second) {
  const auto& candidate = row.candidates[0];
  record_.clear();
  record_.put(row.time_ms);
  request_layout_.encode(row.values, record_);
  record_.put(candidate.item);
  candidate_layout_.encode(candidate.values, record_);
  record_.put_all(candidate.labels.data(), labels_);
  record_.put_all(candidate.weights.data(), weights_);
  rows_.add({row.user, first, second, sequence_++}, record_.view());
  if (rows_.buffered_bytes() > memory_) rows_.spill();
}

void RequestGrouper::finish(const std::function<void(const RequestRow&, double)>& take) {
  rows_.seal(memory_);
  RequestRow request;
  std::vector<RequestRow::Candidate> spare;  // whose memory is reused
  RowValues repeated;
  SortKey of_request;
  bool open = false;
  std::optional<int64_t> day;
  int64_t done = 0;
  const auto share = [&] { return static_cast<double>(done) / static_cast<double>(sequence_); };
  while (rows_.next()) {
    const SortKey& key = rows_.key();
    RecordReader record(rows_.record());
    const bool same = open && key.major == of_request.major && key.middle == of_request.middle &&
                      key.minor == of_request.minor;
    if (!same) {
      if (open) take(request, share());
      for (auto& candidate : request.candidates) spare.push_back(std::move(candidate));
      request.candidates.clear();
    }
    const auto time = record.get<int64_t>();
    request_layout_.decode(record, same ? repeated : request.values);
    if (!same) {
      const int64_t of_keys = day_of_(key.middle, key.minor);
      if (day != of_keys) request.day = format_day(of_keys);
      day = of_keys;
      request.user = key.major;
      request.time_ms = time;
      of_request = key;
      open = true;
    }
    request.time_ms = std::min(request.time_ms, time);
    if (spare.empty()) {
      request.candidates.emplace_back();
    } else {
      request.candidates.push_back(std::move(spare.back()));
      spare.pop_back();
    }
    auto& candidate = request.candidates.back();
    candidate.item = record.get<int64_t>();
    candidate_layout_.decode(record, candidate.values);
    candidate.labels.resize(labels_);
    candidate.weights.resize(weights_);
    record.get_all(candidate.labels.data(), labels_);
    record.get_all(candidate.weights.data(), weights_);
    ++done;
  }
  if (open) take(request, share());
}

}  // namespace lime
