// An item cache at size: building it, the memory it takes, look-ups beside this machine's memory copy rate,
// and whole scoring. One thread.
//
//   bench_item_cache [--items 1000000] [--heads 8] [--links 32] [--hidden 64] [--width 128] [--type int8]
//                    [--candidates 4096] [--seconds 3] [--file /tmp/bench_item_cache.h5]
//
// Weights and features are random. Prints one JSON object. A look-up is an id's row found, read from memory
// and turned into floats in the cache; the bytes counted are those of the rows and their scales, not those of
// the index. Checks first that the rows that are looked up are those that were computed: a wrong result is
// not timed.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bench/memory_rate.h"
#include "layers/cached_scoring.h"
#include "runtime/philox.h"
#include "runtime/stopwatch.h"
#include "serving/item_cache.h"

namespace {

using namespace lime;

constexpr int64_t block = 2048, features = 64, user_features = 16, history = 256, id_step = 977;

struct Options {
  int64_t items = 1000000, heads = 8, links = 32, hidden = 64, width = 128, candidates = 4096;
  std::string type = "int8", file = "/tmp/bench_item_cache.h5";
  double seconds = 3;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("--items", o.items);
  app.add_option("--heads", o.heads);
  app.add_option("--links", o.links);
  app.add_option("--hidden", o.hidden);
  app.add_option("--width", o.width);
  app.add_option("--type", o.type);
  app.add_option("--candidates", o.candidates);
  app.add_option("--seconds", o.seconds);
  app.add_option("--file", o.file);
}

RankingModelConfig config_of(const Options& o) {
  RankingModelConfig c;
  c.name = "lime_xor";
  c.history_features = c.candidate_features = features, c.user_features = user_features;
  c.width = o.width, c.heads = o.heads, c.links = o.links;
  c.head_hidden = o.hidden, c.blocks = 2, c.max_positions = history;
  return c;
}

void fill_normal(View x, uint64_t stream) {
  const Philox random(1, stream_of("bench", stream));
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < x.cols(); ++c)
      x.row<float>(r)[c] = static_cast<float>(random.normal(static_cast<uint64_t>(r * x.cols() + c)));
}

// "RssAnon" or "RssFile" of this process, in MB.
double resident_mb(const std::string& kind) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(kind + ":")) return std::stod(line.substr(kind.size() + 1)) * 1024 / 1e6;
  return 0;
}

struct BuildTime {
  double all_s, compute_s;
};

BuildTime build(const Options& o, CachedScoring& scoring, Context& ctx, const std::vector<int64_t>& ids) {
  const Stopwatch watch;
  double computing_s = 0;
  ItemCacheWriter writer(
      o.file, {"bench", "0", "lime_xor", parse_row_type(o.type), scoring.weights(), scoring.hidden()}, ids);
  const Tensor input(Device{}, DType::f32, block, features),
      rows(Device{}, DType::f32, block, scoring.columns());
  fill_normal(input, 0);
  const auto count = static_cast<int64_t>(ids.size());
  for (int64_t first = 0; first < count; first += block) {
    const int64_t n = std::min(block, count - first);
    input.view().data<float>()[first / block % input.view().size()] += 1;  // another block's rows are others
    const Stopwatch computing;
    scoring.item_rows(ctx, input.view().slice_rows(0, n), rows.view().slice_rows(0, n));
    ctx.arena().reset();
    computing_s += computing.seconds();
    writer.write(first, rows.view().slice_rows(0, n));
  }
  writer.finish();
  return {watch.seconds(), computing_s};
}

void check(const Options& o, CachedScoring& scoring, Context& ctx, const ItemCache& cache) {
  const Tensor input(Device{}, DType::f32, block, features),
      rows(Device{}, DType::f32, block, scoring.columns()), found(Device{}, DType::f32, 1, scoring.columns());
  fill_normal(input, 0);
  input.view().data<float>()[0] += 1;
  scoring.item_rows(ctx, input, rows);
  ctx.arena().reset();
  for (const int32_t r : {1, 17, 999}) {
    decode_rows(ctx, cache.rows(), std::span(&r, 1), found);
    for (int64_t c = 0; c < scoring.columns(); ++c)
      if (!(std::abs(found.view().data<float>()[c] - rows.view().row<float>(r)[c]) < 0.02)) {
        std::fprintf(stderr, "row %d of %s: column %ld is wrong\n", r, o.file.c_str(), static_cast<long>(c));
        std::exit(1);
      }
  }
}

// Scoring in turns with memory copies, for some seconds: milliseconds of each part of a round.
class Rounds {
 public:
  Rounds(const Options& o, CachedScoring& scoring, Context& ctx, const ItemCache& cache)
      : o_(o),
        scoring_(scoring),
        ctx_(ctx),
        cache_(cache),
        asked_(static_cast<size_t>(o.candidates)),
        rows_(asked_.size()),
        decoded_(Device{}, DType::f32, decoded_rows, scoring.columns()),
        history_(Device{}, DType::f32, history, features),
        user_(Device{}, DType::f32, 1, user_features),
        logits_(Device{}, DType::f32, o.candidates, 1) {
    fill_normal(history_, 1), fill_normal(user_, 2);
    const Stopwatch watch;
    for (double next_copy = 0; watch.seconds() < o.seconds || look_up_ms.size() < 3;) {
      round();
      if (watch.seconds() < next_copy) continue;
      copies.sample();
      next_copy = watch.seconds() + o.seconds / 20;
    }
  }

  std::vector<double> find_ms, look_up_ms, user_ms, score_ms;
  CopyRate copies;

 private:
  static constexpr int64_t decoded_rows = 256;  // at a time

  // Every candidate is another random item: nothing is found in the processor's caches by repetition.
  void ask() {
    for (auto& id : asked_)
      id = static_cast<int64_t>(random_.below(static_cast<uint64_t>(o_.items), draw_++)) * id_step;
  }

  void read_rows() {
    for (int64_t first = 0; first < o_.candidates; first += decoded_rows) {
      const auto n = std::min(decoded_rows, o_.candidates - first);
      decode_rows(ctx_, cache_.rows(),
                  std::span(rows_).subspan(static_cast<size_t>(first), static_cast<size_t>(n)),
                  decoded_.view().slice_rows(0, n));
    }
  }

  void round() {
    ask();
    {
      const Stopwatch watch;
      cache_.index().find(asked_, rows_.data());
      find_ms.push_back(watch.ms());
      read_rows();
      look_up_ms.push_back(watch.ms());
    }
    const Stopwatch user_watch;
    const RequestShare share = scoring_.request(ctx_, history_.view(), user_.view());
    user_ms.push_back(user_watch.ms());
    ask();
    const Stopwatch score_watch;
    cache_.index().find(asked_, rows_.data());
    scoring_.score(ctx_, share, cache_.rows(), rows_, logits_);
    score_ms.push_back(score_watch.ms());
    ctx_.arena().reset();
  }

  const Options& o_;
  CachedScoring& scoring_;
  Context& ctx_;
  const ItemCache& cache_;
  const Philox random_{2, stream_of("candidates")};
  uint64_t draw_ = 0;
  std::vector<int64_t> asked_;
  std::vector<int32_t> rows_;
  Tensor decoded_, history_, user_, logits_;
};

void run(const Options& o) {
  const RankingModelConfig config = config_of(o);
  Context ctx;
  ParameterStore store;
  RankingModel model(config, store);
  store.allocate(ctx, 1);
  CachedScoring scoring(ctx, model);
  std::vector<int64_t> ids(static_cast<size_t>(o.items));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i) * id_step;
  const BuildTime built = build(o, scoring, ctx, ids);

  const double before_mb = resident_mb("RssAnon");
  const Stopwatch opening;
  const ItemCache cache(o.file);
  const double open_ms = opening.ms(), own_mb = resident_mb("RssAnon") - before_mb;
  check(o, scoring, ctx, cache);

  const Rounds rounds(o, scoring, ctx, cache);
  const double copy_rate = rounds.copies.typical();
  const double look_up_ms = median(rounds.look_up_ms), score_ms = median(rounds.score_ms);
  const auto row_bytes =
      static_cast<double>(scoring.columns() * static_cast<int64_t>(size_of(cache.info().type)) +
                          (cache.info().type == RowType::i8 ? 8 : 0));
  const auto n = static_cast<double>(o.candidates);
  const double rate = n * row_bytes / look_up_ms;
  std::printf("{\"items\": %zu, \"type\": \"%s\", \"weights\": %ld, \"hidden\": %ld, ", ids.size(),
              to_string(cache.info().type), static_cast<long>(scoring.weights()),
              static_cast<long>(scoring.hidden()));
  std::printf("\"row_bytes\": %.0f, \"file_mb\": %.1f,\n", row_bytes,
              static_cast<double>(std::filesystem::file_size(o.file)) / 1e6);
  std::printf(" \"build_s\": %.2f, \"of_that_computing_rows_s\": %.2f, \"open_ms\": %.1f,\n", built.all_s,
              built.compute_s, open_ms);
  std::printf(" \"resident_mb\": {\"mapped\": %.1f, \"own\": %.1f},\n", resident_mb("RssFile"), own_mb);
  std::printf(" \"look_ups_per_s\": %.0f, \"of_that_finding\": %.2f, \"look_up_gb_per_s\": %.2f, ",
              1e3 * n / look_up_ms, median(rounds.find_ms) / look_up_ms, rate / 1e6);
  std::printf("\"copy_gb_per_s\": %.2f, \"share_of_copy_rate\": %.3f,\n", copy_rate / 1e6, rate / copy_rate);
  std::printf(" \"user_side_ms\": %.3f, \"candidates\": %ld, \"score_ms\": %.3f, ", median(rounds.user_ms),
              static_cast<long>(o.candidates), score_ms);
  std::printf("\"candidates_per_s\": %.0f}\n", 1e3 * n / score_ms);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("An item cache at size: building it, look-ups, scoring");
  Options options;
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const Error& e) {
    std::fprintf(stderr, "bench_item_cache: %s\n", e.what());
    return 2;
  }
  std::filesystem::remove(options.file);
}
