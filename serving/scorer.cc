#include "serving/scorer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

#include "io/item_features.h"
#include "runtime/error.h"
#include "runtime/primitives.h"
#include "serving/build_item_cache.h"
#include "serving/item_cache.h"
#include "serving/served_model.h"

namespace lime {
namespace {

// Uncached candidates whose rows are computed at a time: alike, whatever their number.
constexpr int64_t block_items = most_rows_alike;

RunChoice choice_of(const ScorerOptions& options) {
  return {options.run, options.checkpoint, options.data, {}};
}

void check_same_checkpoint(const ItemCache& cache, const ServedModel& model) {
  if (cache.info().xxh3 == model.checkpoint_xxh3()) return;
  throw UserError(str(cache.path(), ": was built from ", cache.info().checkpoint, " (", cache.info().xxh3,
                      "), expected the checkpoint that is scored with, ", model.directory(), " (",
                      model.checkpoint_xxh3(), "); build it again"));
}

// The features are the dataset's. Those that a cache took from another file are nobody's to judge.
void check_same_features(const ItemCache& cache, const ItemFeatures& features, const ServedModel& model) {
  const std::string& expected = cache.info().features_xxh3;
  if (expected.empty()) return;
  if (const std::string found = features_digest(features, cache.ids()); found != expected)
    throw UserError(str(cache.path(), ": was built from items with other features (", expected,
                        ") than these have in ", model.dataset().items_path(), " (", found,
                        "); build it again"));
}

}  // namespace

std::vector<int64_t> best_positions(const float* values, int64_t n, int64_t stride, int64_t k) {
  std::vector<int64_t> positions(static_cast<size_t>(n));
  std::iota(positions.begin(), positions.end(), int64_t{0});
  const auto better = [&](int64_t a, int64_t b) {
    const float x = values[a * stride], y = values[b * stride];
    return x != y ? x > y : a < b;
  };
  const auto end = positions.begin() + std::clamp<int64_t>(k, 0, n);
  if (end != positions.end()) std::nth_element(positions.begin(), end, positions.end(), better);
  std::sort(positions.begin(), end, better);
  positions.erase(end, positions.end());
  return positions;
}

struct Scorer::Impl {
  explicit Impl(const ScorerOptions& options) : missing(options.missing), model(choice_of(options)) {
    for (const auto& task : model.config().tasks) tasks.push_back(task.label);
    links = CachedScoring::supports(model.config().model.name);
    if (!options.cache.empty()) {
      if (!links)
        throw UserError(
            str(options.cache, ": model ", model.config().model.name, " has no links and takes no cache"));
      cache = std::make_unique<ItemCache>(options.cache);
      check_same_checkpoint(*cache, model);
    }
    if (!cache || missing == MissingItems::score)
      features = std::make_unique<ItemFeatures>(model.dataset().schema(), model.config().features,
                                                items_file(model, options.items));
    if (cache && features && options.items.empty()) check_same_features(*cache, *features, model);
  }

  View input(Context& ctx, Network::Group group, const FeatureColumns& columns, int64_t rows) const {
    const View out = ctx.alloc(rows, model.network().input_width(group));
    model.network().read_input(group, columns, out);
    return out;
  }
  View candidate_input(Context& ctx, std::span<const int64_t> items) const {
    return input(ctx, Network::Group::candidate, features->columns(items),
                 static_cast<int64_t>(items.size()));
  }

  // Models without links: one forward pass of the request.
  void score_whole(ServingSession& session, const ScoringRequest& request, std::span<const int64_t> items,
                   View logits) const {
    Context& ctx = session.context();
    const int64_t history[2] = {0, request.events()},
                  impressions[2] = {0, static_cast<int64_t>(items.size())};
    session.model().forward(ctx,
                            {input(ctx, Network::Group::history, request.history(), request.events()),
                             candidate_input(ctx, items), input(ctx, Network::Group::user, request.user(), 1),
                             Jagged(history), Jagged(impressions)},
                            logits);
  }

  // Candidates without a cached row: session.missing has their positions.
  void score_missing(ServingSession& session, const RequestShare& share, std::span<const int64_t> items,
                     View logits) const {
    Context& ctx = session.context();
    const auto count = static_cast<int64_t>(session.missing.size());
    for (int64_t first = 0; first < count; first += block_items) {
      const Arena::Scope scope(ctx.arena());
      const int64_t n = std::min(block_items, count - first);
      const int64_t* position = session.missing.data() + first;
      std::vector<int64_t> ids(static_cast<size_t>(n));
      std::transform(position, position + n, ids.begin(),
                     [&](int64_t p) { return items[static_cast<size_t>(p)]; });
      session.rows.resize(static_cast<size_t>(n));
      std::iota(session.rows.begin(), session.rows.end(), 0);
      CachedScoring& cached = session.cached();
      const View rows = ctx.alloc(n, cached.columns()), found = ctx.alloc(n, logits.cols());
      cached.item_rows(ctx, candidate_input(ctx, ids), rows);
      cached.score(ctx, share, {RowType::f32, n, cached.weights(), cached.hidden(), rows.raw(), nullptr},
                   session.rows, found);
      for (int64_t i = 0; i < n; ++i)
        std::copy_n(found.row<float>(i), logits.cols(), logits.row<float>(position[i]));
    }
  }

  // Candidates with one: session.rows has the row of each position, or -1.
  void score_cached(ServingSession& session, const RequestShare& share, View logits) const {
    Context& ctx = session.context();
    if (session.missing.empty())
      return session.cached().score(ctx, share, cache->rows(), session.rows, logits);
    const Arena::Scope scope(ctx.arena());
    std::vector<int32_t> present;
    std::copy_if(session.rows.begin(), session.rows.end(), std::back_inserter(present),
                 [](int32_t r) { return r >= 0; });
    const View found = ctx.alloc(static_cast<int64_t>(present.size()), logits.cols());
    session.cached().score(ctx, share, cache->rows(), present, found);
    int64_t next = 0;
    for (size_t i = 0; i < session.rows.size(); ++i)
      if (session.rows[i] >= 0)
        std::copy_n(found.row<float>(next++), logits.cols(), logits.row<float>(static_cast<int64_t>(i)));
  }

  void find_rows(ServingSession& session, std::span<const int64_t> items) const {
    session.rows.assign(items.size(), -1);
    if (cache) cache->index().find(items, session.rows.data());
    session.missing.clear();
    for (size_t i = 0; i < items.size(); ++i)
      if (session.rows[i] < 0) session.missing.push_back(static_cast<int64_t>(i));
    if (cache && missing == MissingItems::refuse && !session.missing.empty())
      throw UserError(str("item ", items[static_cast<size_t>(session.missing.front())],
                          " is not in the cache ", cache->path(), " (", session.missing.size(), " of ",
                          items.size(), " candidates are not)"));
  }

  ScoringCounts score(const ScoringRequest& request, std::span<const int64_t> items, View logits) {
    const Config& config = model.config();
    request.check_made_for(model.features(), config.features.age_buckets, config.data.max_history);
    request.check();
    if (items.empty()) return {};
    const ServedModel::Session session(model);
    ScoringCounts counts{0, static_cast<int64_t>(items.size())};
    if (!links) {
      score_whole(*session, request, items, logits);
    } else {
      find_rows(*session, items);
      Context& ctx = session->context();
      const RequestShare share = session->cached().request(
          ctx, input(ctx, Network::Group::history, request.history(), request.events()),
          input(ctx, Network::Group::user, request.user(), 1));
      counts.uncached = static_cast<int64_t>(session->missing.size());
      counts.cached = static_cast<int64_t>(items.size()) - counts.uncached;
      if (counts.cached > 0) score_cached(*session, share, logits);
      if (counts.uncached > 0) score_missing(*session, share, items, logits);
    }
    check_finite(items, logits);
    cached_total += counts.cached, uncached_total += counts.uncached;
    return counts;
  }

  // Only what overflows can be caught here: weights and features were finite.
  void check_finite(std::span<const int64_t> items, const View& logits) const {
    for (size_t i = 0; i < items.size(); ++i)
      for (int64_t t = 0; t < logits.cols(); ++t)
        if (!std::isfinite(logits.row<float>(static_cast<int64_t>(i))[t]))
          throw UserError(str("item ", items[i], ": its logit of ", tasks[static_cast<size_t>(t)], " is ",
                              logits.row<float>(static_cast<int64_t>(i))[t], ", expected a finite number"));
  }

  MissingItems missing;
  ServedModel model;
  std::vector<std::string> tasks;
  bool links = false;
  std::unique_ptr<ItemCache> cache;
  std::unique_ptr<ItemFeatures> features;  // null where all candidates must be in the cache
  std::atomic<int64_t> cached_total = 0, uncached_total = 0;
};

Scorer::Scorer(const ScorerOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Scorer::~Scorer() = default;
Scorer::Scorer(Scorer&&) noexcept = default;
Scorer& Scorer::operator=(Scorer&&) noexcept = default;

const std::string& Scorer::checkpoint() const { return impl_->model.checkpoint(); }
const std::string& Scorer::model() const { return impl_->model.config().model.name; }
const std::vector<std::string>& Scorer::tasks() const { return impl_->tasks; }
const ServedModel& Scorer::served() const { return impl_->model; }
std::span<const int64_t> Scorer::cached_items() const {
  return impl_->cache ? impl_->cache->ids() : std::span<const int64_t>();
}

ScoringRequest Scorer::make_request() const {
  const Config& config = impl_->model.config();
  return {impl_->model.features(), config.features.age_buckets, config.data.max_history};
}

ScoringCounts Scorer::score(const ScoringRequest& request, std::span<const int64_t> items,
                            std::span<float> logits) const {
  const auto n = static_cast<int64_t>(items.size()), tasks = static_cast<int64_t>(impl_->tasks.size());
  if (static_cast<int64_t>(logits.size()) != n * tasks)
    throw UserError(str("room for ", logits.size(), " logits, expected ", n, " items x ", tasks, " tasks"));
  return impl_->score(request, items, View(logits.data(), n, tasks));
}

Ranking Scorer::top(const ScoringRequest& request, std::span<const int64_t> items, int64_t k,
                    int64_t task) const {
  const auto tasks = static_cast<int64_t>(impl_->tasks.size());
  if (task < 0 || task >= tasks) throw UserError(str("task ", task, ", expected 0 to ", tasks - 1));
  if (k < 0) throw UserError(str("the best ", k, " candidates, expected 0 or more"));
  std::vector<float> logits(items.size() * static_cast<size_t>(tasks));
  Ranking ranking;
  ranking.counts = score(request, items, logits);
  if (items.empty()) return ranking;
  for (const int64_t p : best_positions(logits.data() + task, static_cast<int64_t>(items.size()), tasks, k))
    ranking.items.push_back(
        {items[static_cast<size_t>(p)], p, logits[static_cast<size_t>(p * tasks + task)]});
  return ranking;
}

ScoringCounts Scorer::total_counts() const { return {impl_->cached_total, impl_->uncached_total}; }

}  // namespace lime
