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
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "bench/memory_rate.h"
#include "layers/cached_scoring.h"
#include "runtime/philox.h"
#include "serving/item_cache.h"

namespace {

using namespace lime;

constexpr int64_t block = 2048, features = 64, history = 256, id_step = 977;

struct Options {
  std::map<std::string, std::string> text = {
      {"items", "1000000"},   {"heads", "8"},   {"links", "32"},
      {"hidden", "64"},       {"width", "128"}, {"type", "int8"},
      {"candidates", "4096"}, {"seconds", "3"}, {"file", "/tmp/bench_item_cache.h5"}};
  Options(int argc, char** argv) {
    for (int i = 1; i + 1 < argc; i += 2) text.at(std::string(argv[i]).substr(2)) = argv[i + 1];
  }
  int64_t number(const char* name) const { return std::stoll(text.at(name)); }
};

RankingModelConfig config_of(const Options& o) {
  RankingModelConfig c;
  c.name = "lime_xor";
  c.history_features = c.candidate_features = features, c.user_features = 16;
  c.width = o.number("width"), c.heads = o.number("heads"), c.links = o.number("links");
  c.head_hidden = o.number("hidden"), c.blocks = 2, c.max_positions = history;
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

struct Build {
  double compute_s = 0, write_s = 0;
};

Build build(const Options& o, CachedScoring& scoring, Context& ctx, const std::vector<int64_t>& ids) {
  Build times;
  const double begin = now_ms();
  double computing = 0;
  ItemCacheWriter writer(
      o.text.at("file"),
      {"bench", "0", "lime_xor", parse_row_type(o.text.at("type")), scoring.weights(), scoring.hidden()},
      ids);
  const Tensor input(Device{}, DType::f32, block, features),
      rows(Device{}, DType::f32, block, scoring.columns());
  fill_normal(input, 0);
  const auto count = static_cast<int64_t>(ids.size());
  for (int64_t first = 0; first < count; first += block) {
    const int64_t n = std::min(block, count - first);
    input.view().data<float>()[first / block % input.view().size()] += 1;  // another block's rows are others
    const double start = now_ms();
    scoring.item_rows(ctx, input.view().slice_rows(0, n), rows.view().slice_rows(0, n));
    ctx.arena().reset();
    computing += now_ms() - start;
    writer.write(first, rows.view().slice_rows(0, n));
  }
  writer.finish();
  times.compute_s = computing / 1e3;
  times.write_s = (now_ms() - begin) / 1e3 - times.compute_s;
  return times;
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
        std::fprintf(stderr, "row %d of %s: column %ld is wrong\n", r, o.text.at("file").c_str(),
                     static_cast<long>(c));
        std::exit(1);
      }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options o(argc, argv);
  const RankingModelConfig config = config_of(o);
  Context ctx;
  ParameterStore store;
  RankingModel model(config, store);
  store.allocate(ctx, 1);
  CachedScoring scoring(ctx, model);
  std::vector<int64_t> ids(static_cast<size_t>(o.number("items")));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i) * id_step;
  const Build built = build(o, scoring, ctx, ids);

  const double before = resident_mb("RssAnon"), opened = now_ms();
  const ItemCache cache(o.text.at("file"));
  const double open_ms = now_ms() - opened, own_mb = resident_mb("RssAnon") - before;
  check(o, scoring, ctx, cache);

  // Every candidate of every round is another random item: nothing is found in the caches by repetition.
  const int64_t candidates = o.number("candidates");
  const Philox random(2, stream_of("candidates"));
  uint64_t draw = 0;
  std::vector<int64_t> asked(static_cast<size_t>(candidates));
  std::vector<int32_t> rows(asked.size());
  const auto ask = [&] {
    for (auto& id : asked) id = static_cast<int64_t>(random.below(ids.size(), draw++)) * id_step;
  };
  const Tensor out(Device{}, DType::f32, 256, scoring.columns());
  const auto read_rows = [&] {
    for (int64_t first = 0; first < candidates; first += 256) {
      const auto n = std::min<int64_t>(256, candidates - first);
      decode_rows(ctx, cache.rows(),
                  std::span(rows).subspan(static_cast<size_t>(first), static_cast<size_t>(n)),
                  out.view().slice_rows(0, n));
    }
  };
  CopyRate copies;
  const double seconds = std::stod(o.text.at("seconds"));
  std::vector<double> find_ms, look_up_ms, score_ms, user_ms;
  const Tensor h(Device{}, DType::f32, history, features), u(Device{}, DType::f32, 1, 16),
      logits(Device{}, DType::f32, candidates, 1);
  fill_normal(h, 1), fill_normal(u, 2);
  const double end = now_ms() + 1e3 * seconds;
  double next_copy = 0;
  while (now_ms() < end || look_up_ms.size() < 3) {  // in turns
    ask();
    double begin = now_ms();
    cache.index().find(asked, rows.data());
    find_ms.push_back(now_ms() - begin);
    read_rows();
    look_up_ms.push_back(now_ms() - begin);
    begin = now_ms();
    const RequestShare share = scoring.request(ctx, h.view(), u.view());
    user_ms.push_back(now_ms() - begin);
    ask();
    begin = now_ms();
    cache.index().find(asked, rows.data());
    scoring.score(ctx, share, cache.rows(), rows, logits);
    score_ms.push_back(now_ms() - begin);
    ctx.arena().reset();
    if (now_ms() > next_copy) {
      copies.sample();
      next_copy = now_ms() + 1e3 * seconds / 20;
    }
  }
  const double copy_rate = copies.typical();
  const auto row_bytes =
      static_cast<double>(scoring.columns() * static_cast<int64_t>(size_of(cache.info().type)) +
                          (cache.info().type == RowType::i8 ? 8 : 0));
  const auto n = static_cast<double>(candidates);
  const double rate = n * row_bytes / median(look_up_ms);
  std::printf(
      "{\"items\": %zu, \"type\": \"%s\", \"weights\": %ld, \"hidden\": %ld, \"row_bytes\": %.0f, "
      "\"file_mb\": %.1f,\n"
      " \"build_s\": %.2f, \"of_that_computing_rows_s\": %.2f, \"open_ms\": %.1f,\n"
      " \"resident_mb\": {\"mapped\": %.1f, \"own\": %.1f},\n"
      " \"look_ups_per_s\": %.0f, \"of_that_finding\": %.2f, \"look_up_gb_per_s\": %.2f, \"copy_gb_per_s\": "
      "%.2f, "
      "\"share_of_copy_rate\": %.3f,\n"
      " \"user_side_ms\": %.3f, \"candidates\": %ld, \"score_ms\": %.3f, \"candidates_per_s\": %.0f}\n",
      ids.size(), to_string(cache.info().type), static_cast<long>(scoring.weights()),
      static_cast<long>(scoring.hidden()), row_bytes,
      static_cast<double>(std::filesystem::file_size(o.text.at("file"))) / 1e6,
      built.compute_s + built.write_s, built.compute_s, open_ms, resident_mb("RssFile"), own_mb,
      1e3 * n / median(look_up_ms), median(find_ms) / median(look_up_ms), rate / 1e6, copy_rate / 1e6,
      rate / copy_rate, median(user_ms), static_cast<long>(candidates), median(score_ms),
      1e3 * n / median(score_ms));
  std::filesystem::remove(o.text.at("file"));
}
