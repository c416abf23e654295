// lime::gemm on the emulated device: loops on the host, sums in f64, in order of the inner index.
#include <vector>

#include "runtime/cuda_emulator_memory.h"
#include "runtime/primitives_cuda.h"

namespace lime::cuda {

namespace {

double wide(float x) { return x; }
double wide(double x) { return x; }
double wide(bf16 x) { return to_float(x); }
template <typename T>
T narrow(double x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return to_bf16(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

template <typename T, typename Out>
void multiply(bool ta, bool tb, double alpha, const ConstView& a, const ConstView& b, double beta,
              const View& c) {
  const int64_t depth = ta ? a.rows() : a.cols();
  std::vector<double> row(static_cast<size_t>(c.cols()));
  for (int64_t i = 0; i < c.rows(); ++i) {
    row.assign(row.size(), 0);
    for (int64_t k = 0; k < depth; ++k) {
      const double aik = wide(ta ? a.row<T>(k)[i] : a.row<T>(i)[k]);
      const T* bk = tb ? b.data<T>() + k : b.row<T>(k);
      const int64_t step = tb ? b.stride() : 1;
      for (size_t j = 0; j < row.size(); ++j) row[j] += aik * wide(bk[static_cast<int64_t>(j) * step]);
    }
    Out* out = c.row<Out>(i);
    for (size_t j = 0; j < row.size(); ++j)
      out[j] = narrow<Out>(alpha * row[j] + (beta == 0 ? 0 : beta * wide(out[j])));
  }
}

}  // namespace

void gemm(Context&, bool ta, bool tb, double alpha, const ConstView& a, const ConstView& b, double beta,
          View c) {
  for (const ConstView& v : {a, b, ConstView(c)})
    LIME_CHECK(emulator::is_device_memory(v.raw(), 1), "gemm is given host memory");
  {
    const emulator::Access access;
    if (a.dtype() == DType::f64) multiply<double, double>(ta, tb, alpha, a, b, beta, c);
    if (a.dtype() == DType::f32) multiply<float, float>(ta, tb, alpha, a, b, beta, c);
    if (a.dtype() == DType::bf16 && c.dtype() == DType::bf16)
      multiply<bf16, bf16>(ta, tb, alpha, a, b, beta, c);
    if (a.dtype() == DType::bf16 && c.dtype() == DType::f32)
      multiply<bf16, float>(ta, tb, alpha, a, b, beta, c);
    emulator::check_guards("gemm");
  }
}

}  // namespace lime::cuda
