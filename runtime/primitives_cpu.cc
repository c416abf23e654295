#include "runtime/primitives_cpu.h"

#include <cblas.h>
#include <algorithm>
#include <type_traits>

#include "runtime/gemm_i8.h"
#include "runtime/kernels_amx.h"
#include "runtime/primitives.h"

namespace lime::cpu {

namespace {

// Where all three sides are longer, both operands leave the caches and BLAS's copies of them pay. Below that
// our own kernel is faster: docs/performance.md, bench/bench_gemm.cc.
constexpr int64_t longest_short_side = most_rows_alike;
// Shorter ones do not earn back what taking numbers apart costs.
constexpr int64_t smallest_amx_side = 48;

// Not by the number of rows: rows are computed alike wherever they are.
bool use_amx(int64_t cols, int64_t depth) {
  return std::min(cols, depth) >= smallest_amx_side && amx_in_use();
}

// A rank is one thread: its cores are other ranks', and a sum's order must not depend on a thread count.
void use_one_thread() {
  static const bool once = (openblas_set_num_threads(1), true);
  static_cast<void>(once);
}

CBLAS_TRANSPOSE cblas(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }
blasint narrow(int64_t n) { return static_cast<blasint>(n); }

void blas(bool ta, bool tb, int64_t k, float alpha, Matrix<const float> a, Matrix<const float> b, float beta,
          Matrix<float> c) {
  cblas_sgemm(CblasRowMajor, cblas(ta), cblas(tb), narrow(c.rows), narrow(c.cols), narrow(k), alpha, a.data,
              narrow(a.stride), b.data, narrow(b.stride), beta, c.data, narrow(c.stride));
}

void blas(bool ta, bool tb, int64_t k, double alpha, Matrix<const double> a, Matrix<const double> b,
          double beta, Matrix<double> c) {
  cblas_dgemm(CblasRowMajor, cblas(ta), cblas(tb), narrow(c.rows), narrow(c.cols), narrow(k), alpha, a.data,
              narrow(a.stride), b.data, narrow(b.stride), beta, c.data, narrow(c.stride));
}

}  // namespace

template <typename T>
void gemm(bool ta, bool tb, T alpha, Matrix<const T> a, Matrix<const T> b, T beta, Matrix<T> c) {
  const int64_t k = ta ? a.rows : a.cols;
  if constexpr (std::is_same_v<T, float>) {
    if (use_amx(c.cols, k)) {
      amx_gemm(ta, tb, alpha, a, b, beta, c);
      return;
    }
  }
  if (std::min({c.rows, c.cols, k}) <= longest_short_side) {
    panel_gemm<T>(ta, tb, alpha, a, b, beta, c);
  } else {
    use_one_thread();
    blas(ta, tb, k, alpha, a, b, beta, c);
  }
}

template void gemm(bool, bool, float, Matrix<const float>, Matrix<const float>, float, Matrix<float>);
template void gemm(bool, bool, double, Matrix<const double>, Matrix<const double>, double, Matrix<double>);

void gemm_i8(Context& ctx, const int8_t* a, const ConstView& b, View c) {
  const int64_t depth = b.rows();
  if (use_amx(c.cols(), depth)) {
    amx_gemm_i8({a, c.rows(), depth, depth}, {b.data<float>(), depth, b.cols(), b.stride()},
                {c.data<float>(), c.rows(), c.cols(), c.stride()});
    return;
  }
  const Arena::Scope scope(ctx.arena());
  const View floats = ctx.arena().alloc(DType::f32, std::min(c.rows(), most_rows_alike), depth);
  for (int64_t first = 0; first < c.rows(); first += most_rows_alike) {
    const int64_t last = std::min(first + most_rows_alike, c.rows());
    const View part = floats.slice_rows(0, last - first);
    std::copy_n(a + first * depth, part.size(), part.data<float>());
    lime::gemm(ctx, Transpose::no, Transpose::no, 1, part, b, 0, c.slice_rows(first, last));
  }
}

}  // namespace lime::cpu

bool lime::cpu_gemm_uses_amx() { return cpu::amx_in_use(); }
