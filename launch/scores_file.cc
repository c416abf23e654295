#include "launch/scores_file.h"

#include <span>
#include <utility>

#include "io/external_sort.h"
#include "runtime/error.h"

namespace lime {

int32_t day_number(std::string day) {
  std::erase(day, '-');
  return static_cast<int32_t>(std::stol(day));
}

void ScoredRequests::add(const MicroBatch& micro, const ConstView& probabilities) {
  for (int64_t r = 0; r < micro.requests(); ++r) {
    const auto i = static_cast<size_t>(r);
    const int64_t candidates = micro.candidate_offsets[i + 1] - micro.candidate_offsets[i];
    requests_.push_back(
        {micro.day[i], micro.part[i], micro.row[i], micro.user_id[i], micro.time_ms[i], candidates});
  }
  items_.insert(items_.end(), micro.item.begin(), micro.item.end());
  const auto* p = probabilities.data<float>();
  scores_.insert(scores_.end(), p, p + probabilities.size());
}

void ScoredRequests::clear() {
  requests_.clear();
  items_.clear();
  scores_.clear();
}

std::string ScoredRequests::packed() const {
  RecordWriter record;
  record.put_list(requests_);
  record.put_list(items_);
  record.put_list(scores_);
  return std::string(record.view());
}

ScoredRequests ScoredRequests::unpack(std::string_view bytes) {
  RecordReader record(bytes);
  ScoredRequests result;
  record.get_list(result.requests_);
  record.get_list(result.items_);
  record.get_list(result.scores_);
  return result;
}

ScoresFile::ScoresFile(const std::string& path, const Dataset& dataset, const Config& config,
                       const std::vector<std::string>& days, const std::string& history)
    : parts_(dataset.parts()), draft_(path) {
  int64_t requests = 0, candidates = 0;
  for (const auto& name : days) {
    days_.push_back(day_number(name));
    const DayInfo& day = dataset.day(name);
    for (size_t p = 0; p < day.part_requests.size(); ++p) {
      units_.push_back({requests, candidates, day.part_requests[p], day.part_candidates[p]});
      requests += day.part_requests[p];
      candidates += day.part_candidates[p];
    }
  }
  Hdf5File& file = draft_.file();
  file.set_attribute("/", "format", std::string("lime-scores"));
  file.set_attribute("/", "version", int64_t{1});
  file.set_attribute("/", "history", history);
  file.reserve<int32_t>("/request/day", requests);
  for (const char* column : {"user", "time", "part", "row"})
    file.reserve<int64_t>(str("/request/", column), requests);
  file.reserve<int64_t>("/candidate/offsets", requests + 1);
  file.write_rows<int64_t>("/candidate/offsets", 0, std::vector<int64_t>{0});
  file.reserve<int64_t>("/candidate/item", candidates);
  for (const auto& task : config.tasks) {
    tasks_.push_back(task.label);
    file.reserve<float>("/score/" + task.label, candidates);
  }
}

void ScoresFile::add(const ScoredRequests& scored) {
  const auto& requests = scored.requests_;
  const auto same_unit = [](const auto& a, const auto& b) { return a.day == b.day && a.part == b.part; };
  size_t candidate = 0;
  for (size_t begin = 0, end = 0; begin < requests.size(); begin = end) {
    size_t candidates = 0;
    for (; end < requests.size() && same_unit(requests[begin], requests[end]); ++end)
      candidates += static_cast<size_t>(requests[end].candidates);
    write(scored, begin, end, candidate);
    candidate += candidates;
  }
}

void ScoresFile::write(const ScoredRequests& scored, size_t begin, size_t end, size_t candidate) {
  const auto requests = std::span(scored.requests_).subspan(begin, end - begin);
  Unit& unit = units_.at(static_cast<size_t>(requests[0].day * parts_ + requests[0].part));
  const int64_t first = unit.first_request + unit.requests_done,
                first_candidate = unit.first_candidate + unit.candidates_done;
  std::vector<int64_t> offsets;
  for (const auto& request : requests) {
    LIME_CHECK(request.row == unit.requests_done, "row ", request.row, " of part ", request.part, " after ",
               unit.requests_done);
    ++unit.requests_done;
    unit.candidates_done += request.candidates;
    offsets.push_back(unit.first_candidate + unit.candidates_done);
  }
  LIME_CHECK(unit.requests_done <= unit.requests && unit.candidates_done <= unit.candidates,
             "more requests than dataset.yaml says");

  Hdf5File& file = draft_.file();
  const auto column = [&](const char* name, auto value_of) {
    std::vector<decltype(value_of(requests[0]))> values;
    for (const auto& request : requests) values.push_back(value_of(request));
    file.write_rows(str("/request/", name), first, std::span(std::as_const(values)));
  };
  using Request = ScoredRequests::Request;
  column("day", [&](const Request& r) { return days_[static_cast<size_t>(r.day)]; });
  column("user", [](const Request& r) { return r.user; });
  column("time", [](const Request& r) { return r.time; });
  column("part", [](const Request& r) { return r.part; });
  column("row", [](const Request& r) { return r.row; });
  file.write_rows<int64_t>("/candidate/offsets", first + 1, offsets);

  const auto candidates = static_cast<size_t>(unit.first_candidate + unit.candidates_done - first_candidate);
  file.write_rows("/candidate/item", first_candidate,
                  std::span(scored.items_).subspan(candidate, candidates));
  std::vector<float> scores(candidates);
  for (size_t t = 0; t < tasks_.size(); ++t) {
    for (size_t c = 0; c < candidates; ++c) scores[c] = scored.scores_[(candidate + c) * tasks_.size() + t];
    file.write_rows<float>("/score/" + tasks_[t], first_candidate, scores);
  }
}

void ScoresFile::finish() {
  for (const Unit& unit : units_)
    LIME_CHECK(unit.requests_done == unit.requests && unit.candidates_done == unit.candidates,
               unit.requests_done, " requests were scored of ", unit.requests);
  draft_.finish();
}

}  // namespace lime
