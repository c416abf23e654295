#include "launch/scoring.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "launch/batch_source.h"
#include "model/device_transfer.h"
#include "model/together.h"
#include "runtime/error.h"
#include "runtime/trace.h"

namespace lime {
namespace {

// A batch with its id exchange under way. The lookup borrows from the batch: destroyed first.
struct Scored {
  Batch batch;
  std::unique_ptr<Lookup> lookup;
};

class Pass {
 public:
  Pass(const Scoring& scoring, const std::vector<std::string>& days, HistoryMode mode)
      : comm_(scoring.comm),
        ctx_(scoring.ctx),
        network_(scoring.network),
        shuffles_(scoring.shuffles),
        signal_(scoring.signal),
        scores_(ctx_) {
    ReaderOptions options = scoring_options(comm_, scoring.config, days, mode);
    options.spec.metric_weight = scoring.config.eval.watch_time;
    options.items = scoring.items;
    together(comm_, [&] { reader_ = std::make_unique<BatchReader>(scoring.dataset, options); });
  }

  ScoringTotals run(const ScoredVisitor& visit, const ScoringProgress& progress,
                    const BetweenBatches& between) {
    const int64_t total = reader_->requests_in_epoch();
    for (auto current = fetch(); current;) {
      network_.tables().finish_lookup(*current->lookup);
      if (between) between();
      const int64_t done = totals_.requests;
      auto next = fetch();
      compute(*current, visit);
      if (progress) progress(done, total);
      current = std::move(next);
    }
    if (between) between();
    return totals_;
  }

 private:
  // The next batch, begun; null when all ranks are dry.
  std::unique_ptr<Scored> fetch() {
    auto next = std::make_unique<Scored>();
    together(comm_, [&] { next->batch = reader_->next(); });
    if (shuffles_)
      for (auto& micro : next->batch.micro)
        for (const auto& shuffle : *shuffles_) shuffle.apply(micro);
    int64_t mine[3] = {0, 0, signal_ ? signal_->received() : 0};
    for (const auto& micro : next->batch.micro) {
      mine[0] += micro.requests();
      mine[1] += micro.truncated;
    }
    const auto all = all_gather_values(comm_, std::span<const int64_t>(mine));
    int64_t requests = 0, signal = 0;
    for (size_t i = 0; i < all.size(); i += 3) {
      requests += all[i];
      totals_.truncated += all[i + 1];
      signal = std::max(signal, all[i + 2]);
    }
    if (signal != 0) throw Interrupted(static_cast<int>(signal));
    if (requests == 0) return nullptr;
    totals_.requests += requests;
    next->lookup = network_.begin_lookup(next->batch.micro, /*insert=*/false);
    return next;
  }

  void compute(const Scored& scored, const ScoredVisitor& visit) {
    for (size_t m = 0; m < scored.batch.micro.size(); ++m) {
      const MicroBatch& micro = scored.batch.micro[m];
      if (micro.empty()) continue;
      TraceRange range(ctx_, "score");
      scores_.start({network_.forward(ctx_, *scored.lookup, micro, static_cast<int64_t>(m))},
                    [&visit, &micro](std::span<const ConstView> logits) { visit(micro, logits[0]); });
      ctx_.arena().reset();
      scores_.finish(/*under_way=*/1);
    }
    scores_.finish();
  }

  Communicator& comm_;
  Context& ctx_;
  Network& network_;
  const std::vector<FeatureShuffle>* shuffles_;
  const StopSignal* signal_;
  HostReturn scores_;
  std::unique_ptr<BatchReader> reader_;
  ScoringTotals totals_;
};

}  // namespace

ReaderOptions scoring_options(const Communicator& comm, const Config& config, std::vector<std::string> days,
                              HistoryMode mode) {
  ReaderOptions options = reader_options(comm, config, std::move(days));
  options.requests = std::max<int64_t>(1, config.eval.batch_requests / options.virtual_shards);
  options.history_tokens = config.eval.batch_history_tokens / options.virtual_shards;
  options.history_mode = mode;
  options.shuffle = false;
  return options;
}

const char* to_string(HistoryMode mode) {
  switch (mode) {
    case HistoryMode::running:
      return "running";
    case HistoryMode::frozen:
      return "frozen";
    case HistoryMode::none:
      return "none";
    case HistoryMode::stranger:
      return "stranger";
  }
  return "?";
}

std::vector<HistoryMode> history_modes(const std::string& text) {
  if (text == "both") return {HistoryMode::running, HistoryMode::frozen};
  for (const auto mode :
       {HistoryMode::running, HistoryMode::frozen, HistoryMode::none, HistoryMode::stranger})
    if (text == to_string(mode)) return {mode};
  throw UserError(str("eval.history: found '", text, "', expected running, frozen, both, none or stranger"));
}

ScoringTotals score_days(const Scoring& scoring, const std::vector<std::string>& days, HistoryMode mode,
                         const ScoredVisitor& visit, const ScoringProgress& progress,
                         const BetweenBatches& between) {
  return Pass(scoring, days, mode).run(visit, progress, between);
}

}  // namespace lime
