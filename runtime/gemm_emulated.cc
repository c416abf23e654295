// lime::gemm on the emulated device: loops on the host, sums in f64, in order of the inner index.
#include <vector>

#include "runtime/cuda_emulator_memory.h"
#include "runtime/primitives_cuda.h"
#include "runtime/product_views.h"

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
void multiply(const Epilogue& epilogue, bool ta, bool tb, double alpha, const ConstView& a,
              const ConstView& b, double beta, const View& c) {
  const int64_t depth = ta ? a.rows() : a.cols();
  std::vector<double> row(static_cast<size_t>(c.cols()));
  auto* vector = static_cast<Out*>(epilogue.vector);
  const Out* bias = epilogue.kind == Epilogue::Kind::bias ? vector : nullptr;
  for (int64_t i = 0; i < c.rows(); ++i) {
    row.assign(row.size(), 0);
    for (int64_t k = 0; k < depth; ++k) {
      const double aik = wide(ta ? a.row<T>(k)[i] : a.row<T>(i)[k]);
      const T* bk = tb ? b.data<T>() + k : b.row<T>(k);
      const int64_t step = tb ? b.stride() : 1;
      for (size_t j = 0; j < row.size(); ++j) row[j] += aik * wide(bk[static_cast<int64_t>(j) * step]);
    }
    Out* out = c.row<Out>(i);
    const Out* onto = epilogue.onto.empty() ? out : epilogue.onto.row<Out>(i);
    for (size_t j = 0; j < row.size(); ++j)
      out[j] =
          narrow<Out>(alpha * row[j] + (beta == 0 ? 0 : beta * wide(onto[j])) + (bias ? wide(bias[j]) : 0));
  }
  if (epilogue.kind != Epilogue::Kind::bias_gradient) return;
  row.assign(row.size(), 0);
  for (int64_t k = 0; k < depth; ++k)
    for (size_t j = 0; j < row.size(); ++j) row[j] += wide(b.row<T>(k)[j]);
  for (size_t j = 0; j < row.size(); ++j) vector[j] = narrow<Out>(row[j]);
}

}  // namespace

bool gemm_with(Context& ctx, const Epilogue& epilogue, bool ta, bool tb, double alpha, const ConstView& a,
               const ConstView& b, double beta, View c) {
  if (epilogue.vector && c.cols() == 1) return false;
  LIME_CHECK(!epilogue.vector || emulator::is_device_memory(epilogue.vector, 1), "gemm is given host memory");
  for (const ConstView& v : {a, b, ConstView(c), epilogue.onto.empty() ? a : epilogue.onto})
    LIME_CHECK(emulator::is_device_memory(v.raw(), 1), "gemm is given host memory");
  emulator::begin_work(ctx.stream().handle());
  {
    const emulator::Access access;
    if (a.dtype() == DType::f64) multiply<double, double>(epilogue, ta, tb, alpha, a, b, beta, c);
    if (a.dtype() == DType::f32) multiply<float, float>(epilogue, ta, tb, alpha, a, b, beta, c);
    if (a.dtype() == DType::bf16 && c.dtype() == DType::bf16)
      multiply<bf16, bf16>(epilogue, ta, tb, alpha, a, b, beta, c);
    if (a.dtype() == DType::bf16 && c.dtype() == DType::f32)
      multiply<bf16, float>(epilogue, ta, tb, alpha, a, b, beta, c);
    emulator::check_guards("gemm");
  }
  return true;
}

void gemm(Context& ctx, bool ta, bool tb, double alpha, const ConstView& a, const ConstView& b, double beta,
          View c) {
  const ProductViews p = without_columns({ta, tb, a, b, c});
  gemm_with(ctx, {}, p.ta, p.tb, alpha, p.a, p.b, beta, p.c);
}

}  // namespace lime::cuda
