// The dense network's training step and its parts, each as a share of the single-thread sgemm rate of this
// machine.
//
// The rate is that of the BLAS's sgemm at 2048^3, measured in this process before every iteration. Operations
// counted are RankingModel::training_flops: products and attention, forward and backward, nothing recomputed.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "bench/memory_rate.h"
#include "layers/attention/link_attention.h"
#include "layers/attention/xor_attention.h"
#include "layers/ranking_model.h"
#include "layers/xor_block.h"
#include "runtime/context.h"
#include "runtime/philox.h"

namespace lime {
namespace {

constexpr int64_t requests = 32, events = 1024, impressions = 16;
constexpr int64_t width = 128, heads = 4, links = 32;

Tensor random_tensor(int64_t rows, int64_t cols, uint64_t seed) {
  Tensor t(Device{}, DType::f32, rows, cols);
  const Philox random(seed, 1);  // uniform with variance 1: normals would take longer than the benchmark
  for (int64_t i = 0; i < rows * cols; ++i)
    t.view().data<float>()[i] = static_cast<float>(3.4641 * (random.uniform(static_cast<uint64_t>(i)) - 0.5));
  return t;
}

std::vector<int64_t> equal_offsets(int64_t segments, int64_t length) {
  std::vector<int64_t> offsets;
  for (int64_t b = 0; b <= segments; ++b) offsets.push_back(b * length);
  return offsets;
}

// Seconds of CPU time, of this thread: what other programs take does not count.
double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double sgemm_rate() {
  constexpr int n = 2048;
  openblas_set_num_threads(1);
  static const Tensor a = random_tensor(n, n, 1), b = random_tensor(n, n, 2), c = random_tensor(n, n, 3);
  const double begin = cpu_seconds();
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a.view().data<float>(), n,
              b.view().data<float>(), n, 0, c.view().data<float>(), n);
  return 2.0 * n * n * n / (cpu_seconds() - begin);
}

// Runs `step` and sgemm by turns, so that whatever slows this machine down slows both, and reports medians.
template <typename F>
void measure(benchmark::State& state, double flops, F&& step) {
  step(), step(), sgemm_rate();
  std::vector<double> rates, sgemm, shares;
  for (auto _ : state) {
    sgemm.push_back(sgemm_rate());
    const double begin = cpu_seconds();
    step();
    const double seconds = cpu_seconds() - begin;
    state.SetIterationTime(seconds);
    rates.push_back(flops / seconds);
    shares.push_back(rates.back() / sgemm.back());
  }
  state.counters["sgemm_GFLOP/s"] = median(sgemm) * 1e-9;
  state.counters["GFLOP/s"] = median(rates) * 1e-9;
  state.counters["share_of_sgemm"] = median(shares);
  state.counters["best_ms"] = flops / *std::max_element(rates.begin(), rates.end()) * 1e3;
}

void training_step(benchmark::State& state, const char* name) {
  RankingModelConfig c;
  c.name = name;
  c.history_features = 96, c.candidate_features = 64, c.user_features = 64;
  c.width = width, c.heads = heads, c.links = links, c.blocks = 3, c.head_hidden = 128,
  c.max_positions = events;
  Context ctx;
  ParameterStore store;
  RankingModel model(c, store);
  store.allocate(ctx, 1);
  const auto history = equal_offsets(requests, events), candidates = equal_offsets(requests, impressions);
  Tensor h = random_tensor(history.back(), 96, 1), x = random_tensor(candidates.back(), 64, 2),
         u = random_tensor(requests, 64, 3), r = random_tensor(x.rows(), 1, 4),
         logits = random_tensor(x.rows(), 1, 5);
  Tensor dh = random_tensor(h.rows(), 96, 6), dx = random_tensor(x.rows(), 64, 7),
         du = random_tensor(requests, 64, 8);
  measure(state, model.training_flops(requests, h.rows(), x.rows()), [&] {
    ctx.arena().reset();
    model.forward(ctx, {h.view(), x.view(), u.view(), Jagged(history), Jagged(candidates)}, logits);
    model.backward(ctx, r.view(), {dh, dx, du});
  });
}
BENCHMARK_CAPTURE(training_step, lime_xor, "lime_xor")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK_CAPTURE(training_step, lime_mha, "lime_mha")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK_CAPTURE(training_step, two_tower, "two_tower")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(1);

// One block, forward and backward, over given rows.
void xor_block(benchmark::State& state) {
  const bool last = state.range(0) != 0;
  Context ctx;
  ParameterStore store;
  XorBlock block(store, "block", width, heads, links, last);
  store.allocate(ctx, 1);
  const auto offsets = equal_offsets(requests, events);
  const Jagged history(offsets);
  Tensor l = random_tensor(requests * links, width, 1), e = random_tensor(history.rows(), width, 2);
  Tensor lo = random_tensor(l.rows(), width, 3), eo = random_tensor(e.rows(), width, 4);
  Tensor dl = random_tensor(l.rows(), width, 5), de = random_tensor(e.rows(), width, 6);
  measure(state, 3 * block.forward_flops(requests, e.rows()), [&] {
    ctx.arena().reset();
    block.forward(ctx, history, {}, l.view(), e.view(), lo, last ? View{} : eo.view());
    block.backward(ctx, dl, de);
  });
}
BENCHMARK(xor_block)
    ->ArgName("last")
    ->Arg(0)
    ->Arg(1)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(1);

// The attention alone, as the block runs it: on one tile's rows, which the cache holds already. Backward's
// recomputed scores are not counted.
void xor_attention(benchmark::State& state) {
  const bool backward = state.range(0) != 0;
  Context ctx;
  const auto offsets = equal_offsets(requests, events);
  const Jagged history(offsets);
  constexpr int64_t d = width;
  const int64_t tile = ctx.tile_rows(12 * d);
  Tensor h = random_tensor(tile, 4 * d, 1), l = random_tensor(requests * links, 4 * d, 2);
  Tensor ho = random_tensor(h.rows(), d, 3), lo = random_tensor(l.rows(), d, 4);
  Tensor dh = random_tensor(h.rows(), 4 * d, 5), dl = random_tensor(l.rows(), 4 * d, 6);
  const auto qkv = [](const View& x) {
    return AttentionRows{x.slice_cols(d, 2 * d), x.slice_cols(2 * d, 3 * d), x.slice_cols(3 * d, 4 * d)};
  };
  const auto grads = [](const View& x) {
    return AttentionRowsGrad{x.slice_cols(d, 2 * d), x.slice_cols(2 * d, 3 * d), x.slice_cols(3 * d, 4 * d)};
  };
  measure(state, (backward ? 2 : 1) * xor_attention_flops(history.rows(), links, d, true), [&] {
    for (int64_t first = 0; first < history.rows(); first += tile) {
      const int64_t n = std::min(tile, history.rows() - first);
      const XorAttentionTile t{heads, links, history, first};
      const View rows = h.view().slice_rows(0, n), out = ho.view().slice_rows(0, n);
      if (backward)
        lime::xor_attention_backward(ctx, t, qkv(rows), qkv(l), out, lo.view(),
                                     grads(dh.view().slice_rows(0, n)), grads(dl));
      else
        lime::xor_attention(ctx, t, qkv(rows), qkv(l), out, lo);
    }
  });
}
BENCHMARK(xor_attention)
    ->ArgName("backward")
    ->Arg(0)
    ->Arg(1)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(0.5);

void link_attention(benchmark::State& state) {
  Context ctx;
  const auto offsets = equal_offsets(requests, events);
  const LinkAttention a{heads, links, Jagged(offsets)};
  const int64_t tile = ctx.tile_rows(4 * width), all = a.history.rows();
  Tensor q = random_tensor(requests * links, width, 1), kv = random_tensor(tile, 2 * width, 2);
  Tensor out = random_tensor(q.rows(), width, 3), m = random_tensor(requests * heads, links, 4),
         s = random_tensor(requests * heads, links, 5);
  measure(state, 4.0 * static_cast<double>(all * links * width), [&] {
    link_attention_begin(ctx, a, {m, s}, out);
    for (int64_t first = 0; first < all; first += tile) {
      const View rows = kv.view().slice_rows(0, std::min(tile, all - first));
      link_attention_tile(ctx, a, first, q.view(), rows.slice_cols(0, width),
                          rows.slice_cols(width, 2 * width), {m, s}, out);
    }
    link_attention_finish(ctx, a, {m, s}, out);
  });
}
BENCHMARK(link_attention)->UseManualTime()->Unit(benchmark::kMillisecond)->MinTime(0.5);

}  // namespace
}  // namespace lime

BENCHMARK_MAIN();
