#include "launch/score_requests.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <iterator>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "io/hdf5_draft.h"
#include "launch/latency.h"
#include "launch/scores_file.h"
#include "model/run_choice.h"
#include "runtime/error.h"
#include "runtime/philox.h"
#include "runtime/stopwatch.h"
#include "runtime/text.h"
#include "serving/build_item_cache.h"
#include "serving/served_model.h"

namespace lime {
namespace {

// `count` of the items, in ascending order: selection sampling, one draw an item.
std::vector<int64_t> sample(std::span<const int64_t> items, int64_t count, uint64_t seed) {
  const Philox random(seed, stream_of("score candidates"));
  std::vector<int64_t> chosen;
  auto left = static_cast<int64_t>(items.size()), wanted = std::min(count, left);
  for (size_t i = 0; i < items.size() && wanted > 0; ++i, --left) {
    if (static_cast<int64_t>(random.below(static_cast<uint64_t>(left), i)) >= wanted) continue;
    chosen.push_back(items[i]);
    --wanted;
  }
  return chosen;
}

// One request's result.
struct Scored {
  Ranking ranking;
  std::vector<float> scores;  // ranking.items x tasks, probabilities
  int64_t shown = 0;          // impressions: the first candidates
  int64_t events = 0;
  double milliseconds = 0;
};

// The file of lime score, written as requests are scored.
class RankingFile {
 public:
  RankingFile(const std::string& path, const Scorer& scorer, HistoryMode history)
      : tasks_(scorer.tasks()), draft_(path) {
    Hdf5File& file = draft_.file();
    file.set_attribute("/", "format", std::string("lime-ranking"));
    file.set_attribute("/", "version", int64_t{1});
    file.set_attribute("/", "checkpoint", scorer.checkpoint());
    file.set_attribute("/", "history", std::string(to_string(history)));
    append<int64_t>("/candidate/offsets", {0});
    add({}, {}, {});  // every column is there, though nothing is scored
  }

  void add(const MicroBatch& batch, const std::vector<Scored>& scored, const std::vector<std::string>& days) {
    std::vector<int32_t> day;
    std::vector<int64_t> offsets, item;
    std::vector<uint8_t> shown;
    std::vector<std::vector<float>> scores(tasks_.size());
    for (size_t r = 0; r < scored.size(); ++r) {
      day.push_back(day_number(days[static_cast<size_t>(batch.day[r])]));
      for (const RankedItem& best : scored[r].ranking.items) {
        item.push_back(best.item);
        shown.push_back(best.position < scored[r].shown ? 1 : 0);
      }
      for (size_t i = 0; i < scored[r].scores.size(); ++i)
        scores[i % tasks_.size()].push_back(scored[r].scores[i]);
      offsets.push_back(candidates_ + static_cast<int64_t>(item.size()));
    }
    candidates_ += static_cast<int64_t>(item.size());
    append("/request/day", day);
    append("/request/user", batch.user_id);
    append("/request/time", batch.time_ms);
    append("/request/part", batch.part);
    append("/request/row", batch.row);
    append("/candidate/offsets", offsets);
    append("/candidate/item", item);
    append("/candidate/shown", shown);
    for (size_t t = 0; t < tasks_.size(); ++t) append("/score/" + tasks_[t], scores[t]);
  }

  void finish() { draft_.finish(); }

 private:
  template <typename T>
  void append(const std::string& column, const std::vector<T>& values) {
    draft_.file().append(column, std::span(values));
  }

  const std::vector<std::string>& tasks_;
  Hdf5Draft draft_;
  int64_t candidates_ = 0;
};

// What is the same for all requests of a run.
struct Plan {
  const Scorer& scorer;
  std::vector<int64_t> pool;  // further candidates, ascending
  int64_t top, task;

  Scored score(const MicroBatch& batch, int64_t r) const {
    const auto first = batch.item.begin() + batch.candidate_offsets[static_cast<size_t>(r)],
               last = batch.item.begin() + batch.candidate_offsets[static_cast<size_t>(r) + 1];
    std::vector<int64_t> items(first, last), shown = items;
    std::sort(shown.begin(), shown.end());
    std::set_difference(pool.begin(), pool.end(), shown.begin(), shown.end(), std::back_inserter(items));
    ScoringRequest request = scorer.make_request();
    request.assign(batch, r);
    const size_t tasks = scorer.tasks().size();
    std::vector<float> logits(items.size() * tasks);

    Scored scored;
    scored.shown = last - first;
    scored.events = request.events();
    const Stopwatch watch;
    scored.ranking.counts = scorer.score(request, items, logits);
    const auto n = static_cast<int64_t>(items.size());
    const auto best =
        best_positions(logits.data() + task, n, static_cast<int64_t>(tasks), top == 0 ? n : top);
    scored.milliseconds = watch.ms();
    for (const int64_t p : best) {
      const float* logit = logits.data() + static_cast<size_t>(p) * tasks;
      scored.ranking.items.push_back({items[static_cast<size_t>(p)], p, logit[task]});
      for (size_t t = 0; t < tasks; ++t) scored.scores.push_back(1 / (1 + std::exp(-logit[t])));
    }
    return scored;
  }

  // All requests of a micro-batch, by some threads; throws what the first request that failed threw.
  std::vector<Scored> score_all(const MicroBatch& batch, int threads) const {
    std::vector<Scored> scored(static_cast<size_t>(batch.requests()));
    std::vector<std::exception_ptr> failures(scored.size());
    std::atomic<int64_t> next = 0;
    const auto work = [&] {
      for (int64_t r; (r = next++) < batch.requests();) try {
          scored[static_cast<size_t>(r)] = score(batch, r);
        } catch (...) {
          failures[static_cast<size_t>(r)] = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work);
    work();
    for (auto& thread : others) thread.join();
    for (const auto& failure : failures)
      if (failure) std::rethrow_exception(failure);
    return scored;
  }
};

int64_t task_of(const Scorer& scorer, const std::string& name) {
  const auto& tasks = scorer.tasks();
  const auto found = name.empty() ? tasks.begin() : std::find(tasks.begin(), tasks.end(), name);
  if (found != tasks.end()) return found - tasks.begin();
  throw UserError(str("--task: found ", name, ", expected one of ", joined(tasks)));
}

}  // namespace

ScoreRequestsReport score_requests(const ScoreRequestsOptions& options, const ScoringProgress& progress) {
  const Dataset dataset =
      Dataset::open(load_run_config({options.scorer.run, "", options.scorer.data, {}}).data.path);
  const auto days = dataset.select_days(options.days, "--requests");
  const Scorer scorer(options.scorer);
  const Config& config = scorer.served().config();
  Plan plan{scorer, {}, options.top, task_of(scorer, options.task)};
  if (options.candidates > 0) {
    const auto cached = scorer.cached_items();
    plan.pool = cached.empty() ? sample(items_to_cache(scorer.served(), options.scorer.items),
                                        options.candidates, config.seed)
                               : sample(cached, options.candidates, config.seed);
  }
  BatchReader reader(dataset, scoring_options(*make_self_communicator(), config, days, options.history));

  ScoreRequestsReport report;
  std::optional<RankingFile> results;
  if (!options.out.empty()) results.emplace(options.out, scorer, options.history);
  std::vector<double> milliseconds;
  const Stopwatch watch;
  for (Batch batch = reader.next(); !batch.ended(); batch = reader.next())
    for (const MicroBatch& micro : batch.micro) {
      std::vector<Scored> scored = plan.score_all(micro, options.threads);
      for (const Scored& one : scored) {
        report.without_history += one.events == 0;
        report.counts.cached += one.ranking.counts.cached,
            report.counts.uncached += one.ranking.counts.uncached;
        milliseconds.push_back(one.milliseconds);
      }
      if (results) results->add(micro, scored, days);
      report.requests += micro.requests();
      if (progress) progress(report.requests, reader.requests_in_epoch());
    }
  report.seconds = watch.seconds();
  report.candidates = report.counts.cached + report.counts.uncached;
  report.latency = latency_of(std::move(milliseconds));
  if (results) results->finish();
  return report;
}

}  // namespace lime
