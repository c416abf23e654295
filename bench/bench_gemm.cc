// Matrix products of the shapes that a LIME-XOR training step makes (width 128, 4 heads, 32 links, tiles of
// 512 history rows), as a share of a 2048^3 sgemm measured in this process, and the vector kernels in
// elements a nanosecond.
//
// Run on an idle core: bench_gemm --benchmark_repetitions=5 --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <string>

#include "runtime/philox.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

Tensor random_tensor(int64_t rows, int64_t cols) {
  Tensor t({}, DType::f32, rows, cols);
  const Philox rng(1, stream_of("bench"));
  float* values = t.view().data<float>();
  for (int64_t i = 0; i < rows * cols; ++i)
    values[i] = static_cast<float>(rng.uniform(static_cast<uint64_t>(i)) - 0.5);
  return t;
}

// Of this thread, so that a busy machine disturbs less than wall-clock time would.
double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// FLOP a second of the product that a library does best; the best of five.
double best_rate() {
  static const double rate = [] {
    constexpr int64_t n = 2048;
    Context ctx;
    const Tensor a = random_tensor(n, n), b = random_tensor(n, n), c = random_tensor(n, n);
    double best = 0;
    for (int i = 0; i < 5; ++i) {
      const double begin = cpu_seconds();
      gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), 0, c);
      best = std::max(best, 2.0 * n * n * n / (cpu_seconds() - begin));
    }
    return best;
  }();
  return rate;
}

// Strides make column slices; 0 means contiguous.
struct Shape {
  const char* name;
  bool ta, tb;
  int64_t m, n, k;
  int64_t a_stride = 0, b_stride = 0, c_stride = 0;
  double beta = 0;
};

const Shape shapes[] = {
    {"uqkv_forward", false, false, 512, 512, 128},
    {"uqkv_input_gradient", false, true, 512, 128, 512},
    {"uqkv_weight_gradient", true, false, 128, 512, 512, 0, 0, 0, 1},
    {"out_forward", false, false, 512, 128, 128},
    {"out_input_gradient", false, true, 512, 128, 128},
    {"out_weight_gradient", true, false, 128, 128, 512, 0, 0, 0, 1},
    {"scores_history_x_links", false, true, 512, 32, 32, 512, 512},
    {"scores_short_history", false, true, 100, 32, 32, 512, 512},
    {"scores_links_x_history", false, true, 32, 512, 32, 512, 512},
    {"values_to_history", false, false, 512, 32, 32, 0, 512, 128},
    {"values_to_links", true, false, 32, 32, 512, 0, 512, 128, 1},
    {"values_to_links_untransposed", false, false, 32, 32, 512, 0, 512, 128, 1},
    {"head_gradient_slice", false, false, 512, 32, 32, 128, 512, 512},
};

View slice(const Tensor& t, int64_t rows, int64_t cols) {
  return t.view().slice_rows(0, rows).slice_cols(0, cols);
}

void product(benchmark::State& state, const Shape& s) {
  Context ctx;
  const int64_t a_rows = s.ta ? s.k : s.m, a_cols = s.ta ? s.m : s.k, b_rows = s.tb ? s.n : s.k,
                b_cols = s.tb ? s.k : s.n;
  const Tensor a = random_tensor(a_rows, std::max(a_cols, s.a_stride)),
               b = random_tensor(b_rows, std::max(b_cols, s.b_stride)),
               c = random_tensor(s.m, std::max(s.n, s.c_stride));
  const double flops = 2.0 * static_cast<double>(s.m * s.n * s.k), best = best_rate();
  const double begin = cpu_seconds();
  for (auto _ : state) {
    gemm(ctx, s.ta ? Transpose::yes : Transpose::no, s.tb ? Transpose::yes : Transpose::no, 1,
         slice(a, a_rows, a_cols), slice(b, b_rows, b_cols), s.beta, slice(c, s.m, s.n));
    benchmark::ClobberMemory();
  }
  const double rate = flops * static_cast<double>(state.iterations()) / (cpu_seconds() - begin);
  state.counters["GFLOP/s"] = rate * 1e-9;
  state.counters["share"] = rate / best;
}

struct Kernel {
  const char* name;
  void (*run)(Context&, View x, View y, View z);
};

// A tile of 512 x 128, in the second-level cache.
const Kernel kernels[] = {
    {"silu", [](Context& ctx, View x, View y, View) { silu(ctx, x, y); }},
    {"silu_backward", [](Context& ctx, View x, View y, View z) { silu_backward(ctx, x, y, z); }},
    {"bias_silu", [](Context& ctx, View x, View y, View z) { bias_silu(ctx, z.slice_rows(0, 1), x, y); }},
    {"multiply", [](Context& ctx, View x, View y, View z) { multiply(ctx, x, y, z); }},
    {"column_sum",
     [](Context& ctx, View x, View y, View) { column_sum(ctx, x, GradMode::overwrite, y.slice_rows(0, 1)); }},
    {"softmax_rows", [](Context& ctx, View x, View, View) { softmax_rows(ctx, x); }},
    {"layer_norm",
     [](Context& ctx, View x, View y, View z) {
       layer_norm(ctx, x, z.slice_rows(0, 1), z.slice_rows(1, 2), 1e-5, y, z.slice_cols(0, 1),
                  z.slice_cols(1, 2));
     }},
    {"layer_norm_backward",
     [](Context& ctx, View x, View y, View z) {
       layer_norm_backward(ctx, x, x.slice_rows(0, 1), x.slice_cols(0, 1), x.slice_cols(1, 2), y,
                           GradMode::overwrite, z, GradMode::overwrite, y.slice_rows(0, 1),
                           y.slice_rows(1, 2));
     }},
};

void elements(benchmark::State& state, const Kernel& kernel) {
  Context ctx;
  const Tensor x = random_tensor(512, 128), y = random_tensor(512, 128), z = random_tensor(512, 128);
  for (auto _ : state) {
    kernel.run(ctx, x, y, z);
    benchmark::ClobberMemory();
  }
  state.counters["elements/ns"] = benchmark::Counter(
      1e-9 * 512 * 128 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

}  // namespace
}  // namespace lime

int main(int argc, char** argv) {
  for (const lime::Shape& s : lime::shapes) {
    benchmark::RegisterBenchmark((std::string("gemm/") + s.name).c_str(),
                                 [&s](benchmark::State& state) { lime::product(state, s); });
  }
  for (const lime::Kernel& k : lime::kernels) {
    benchmark::RegisterBenchmark((std::string("kernel/") + k.name).c_str(),
                                 [&k](benchmark::State& state) { lime::elements(state, k); });
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("sgemm 2048^3 [GFLOP/s]", lime::str(lime::best_rate() * 1e-9));
  benchmark::RunSpecifiedBenchmarks();
}
