#include "runtime/primitives_cpu.h"

#include <cblas.h>

namespace lime::cpu {

namespace {

// A rank is one thread: its cores are other ranks', and a sum's order must not depend on a thread count.
void use_one_thread() {
  static const bool once = (openblas_set_num_threads(1), true);
  static_cast<void>(once);
}

CBLAS_TRANSPOSE cblas(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }
blasint narrow(int64_t n) { return static_cast<blasint>(n); }

}  // namespace

template <>
void gemm(bool ta, bool tb, float alpha, Matrix<const float> a, Matrix<const float> b, float beta, Matrix<float> c) {
  use_one_thread();
  cblas_sgemm(CblasRowMajor, cblas(ta), cblas(tb), narrow(c.rows), narrow(c.cols), narrow(ta ? a.rows : a.cols), alpha,
              a.data, narrow(a.stride), b.data, narrow(b.stride), beta, c.data, narrow(c.stride));
}

template <>
void gemm(bool ta, bool tb, double alpha, Matrix<const double> a, Matrix<const double> b, double beta,
          Matrix<double> c) {
  use_one_thread();
  cblas_dgemm(CblasRowMajor, cblas(ta), cblas(tb), narrow(c.rows), narrow(c.cols), narrow(ta ? a.rows : a.cols), alpha,
              a.data, narrow(a.stride), b.data, narrow(b.stride), beta, c.data, narrow(c.stride));
}

}  // namespace lime::cpu
