#include "launch/evaluator.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include "launch/scored_rows.h"
#include "model/together.h"
#include "parallel/gather_pieces.h"
#include "runtime/error.h"
#include "runtime/stopwatch.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr size_t rows_a_message = size_t{1} << 16;

// This rank's scored rows, by task.
class RowCollector {
 public:
  explicit RowCollector(const Config& config) : config_(config), rows_(config.tasks.size()) {}

  void add(const MicroBatch& micro, const ConstView& logits) {
    const size_t tasks = rows_.size();
    for (int64_t r = 0; r < micro.requests(); ++r) {
      const auto request = static_cast<size_t>(r);
      for (int64_t c = micro.candidate_offsets[request]; c < micro.candidate_offsets[request + 1]; ++c) {
        const auto candidate = static_cast<size_t>(c);
        ScoredRow row;
        row.watch_time = micro.metric_weight.empty() ? 0.0f : micro.metric_weight[candidate];
        row.day = static_cast<int32_t>(micro.day[request]);
        row.user = micro.user_id[request];
        if (micro.candidate_offsets[request + 1] - micro.candidate_offsets[request] > 1)
          row.request = micro.row[request];
        for (size_t t = 0; t < tasks; ++t) {
          // A task that is only watched (weight 0) still has its labels.
          if (config_.tasks[t].weight != 0 && micro.weights[candidate * tasks + t] == 0) continue;
          row.logit = logits.row<float>(c)[t];
          row.label = micro.labels[candidate * tasks + t];
          rows_[t].push_back(row);
        }
      }
    }
  }

  // Collective: all ranks' rows of a task, at most `rows`, on rank 0, which holds them once.
  std::vector<ScoredRow> take(Communicator& comm, size_t task, int64_t rows) {
    std::vector<ScoredRow> mine = std::exchange(rows_[task], {});
    if (comm.size() == 1) return mine;
    std::vector<ScoredRow> all;
    if (comm.rank() == 0) all.reserve(static_cast<size_t>(rows));
    const std::span bytes(reinterpret_cast<const char*>(mine.data()), mine.size() * sizeof(ScoredRow));
    gather_pieces(comm, bytes, rows_a_message * sizeof(ScoredRow), 0, [&](int, std::span<const char> piece) {
      const size_t before = all.size();
      all.resize(before + piece.size() / sizeof(ScoredRow));
      std::memcpy(all.data() + before, piece.data(), piece.size());
    });
    return all;
  }

 private:
  const Config& config_;
  std::vector<std::vector<ScoredRow>> rows_;
};

TaskMetrics metrics_of(const std::string& task, const std::vector<std::string>& days,
                       std::vector<ScoredRow> rows, bool with_watch_time) {
  TaskMetrics metrics;
  metrics.task = task;
  // One day after the other: the rows of all days are held beside those of one.
  if (days.size() > 1) {
    std::vector<ScoredRow> of_day;
    for (size_t d = 0; d < days.size(); ++d) {
      std::copy_if(rows.begin(), rows.end(), std::back_inserter(of_day),
                   [d](const ScoredRow& row) { return row.day == static_cast<int32_t>(d); });
      metrics.days.emplace_back(days[d], compute_metrics(std::exchange(of_day, {}), with_watch_time));
    }
  }
  metrics.all = compute_metrics(std::move(rows), with_watch_time);
  if (days.size() == 1) metrics.days.emplace_back(days[0], metrics.all);
  return metrics;
}

}  // namespace

void refuse_trained_days(const Config& config, const Dataset& dataset, const std::vector<std::string>& days,
                         const std::string& option) {
  for (const auto& [key, trained] :
       {std::pair("data.train", config.data.train), std::pair("data.seen", config.data.seen)}) {
    std::vector<std::string> overlap;
    for (const auto& day : dataset.days_among(trained, key))
      if (std::find(days.begin(), days.end(), day) != days.end()) overlap.push_back(day);
    if (!overlap.empty())
      throw UserError(str(option, ": held-out days were trained on: found ", joined(overlap), " in ", key,
                          " = ", trained, ", expected days outside of it"));
  }
}

EvalResult evaluate(const Scoring& scoring, const std::vector<std::string>& days, HistoryMode mode,
                    const ScoringProgress& progress, const RowSink& sink) {
  const Stopwatch watch;
  Communicator& comm = scoring.comm;
  const Config& config = scoring.config;
  RowCollector collector(config);
  const ScoringTotals totals = score_days(
      scoring, days, mode,
      [&](const MicroBatch& micro, const ConstView& logits) { collector.add(micro, logits); }, progress);
  int64_t candidates = 0;
  for (const auto& day : days) candidates += scoring.dataset.day(day).candidates;
  EvalResult result;
  for (size_t t = 0; t < config.tasks.size(); ++t) {
    if (scoring.signal) scoring.signal->check(comm);
    std::vector<ScoredRow> rows = collector.take(comm, t, candidates);
    if (sink)
      together(comm, [&] {
        if (comm.rank() == 0) sink(config.tasks[t].label, rows);
      });
    if (comm.rank() == 0)
      result.tasks.push_back(
          metrics_of(config.tasks[t].label, days, std::move(rows), !config.eval.watch_time.empty()));
  }
  if (comm.rank() != 0) return {};
  result.history = to_string(mode);
  result.requests = totals.requests;
  result.truncated = totals.truncated;
  result.seconds = watch.seconds();
  return result;
}

std::vector<EvalResult> evaluate_modes(const Scoring& scoring, const std::vector<std::string>& days,
                                       const std::string& rows_path, const ScoringProgress& progress) {
  Communicator& comm = scoring.comm;
  std::optional<ScoredRowsWriter> writer;
  together(comm, [&] {
    if (comm.rank() == 0 && !rows_path.empty()) writer.emplace(rows_path, days);
  });
  std::vector<EvalResult> results;
  for (const HistoryMode mode : history_modes(scoring.config.eval.history)) {
    RowSink sink;
    if (!rows_path.empty())
      sink = [&](const std::string& task, const std::vector<ScoredRow>& rows) {
        writer->add(to_string(mode), task, rows);
      };
    results.push_back(evaluate(scoring, days, mode, progress, sink));
  }
  together(comm, [&] {
    if (writer) writer->finish();
  });
  return results;
}

}  // namespace lime
