// Elementwise primitives: one kernel over rows and columns, in packs of 16 bytes where the views allow it.
#include <algorithm>
#include <bit>

#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/primitives_cuda.h"

namespace lime::cuda {

namespace {

constexpr int64_t threads = 256, most_blocks_y = 65535;

// y[r, c] = f(x[r, c]...), N columns a thread.
template <int N, typename F, typename T, typename... X>
__global__ void map_kernel(F f, Matrix<T> y, Matrix<X>... x) {
  const int64_t packs = y.cols / N;
  const int64_t row_step = int64_t{gridDim.y} * blockDim.y, pack_step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t r = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; r < y.rows; r += row_step) {
    for (int64_t p = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; p < packs; p += pack_step) {
      const auto apply = [&](auto... in) {
        Pack<T, N> out;
#pragma unroll
        for (int i = 0; i < N; ++i) out.at[i] = from_compute<T>(f(to_compute(in.at[i])...));
        store_pack(y.row(r) + p * N, out);
      };
      apply(load_pack<N>(x.row(r) + p * N)...);
    }
  }
}

// Contiguous views as one long row: no thread is idle at the end of a short one.
bool flat(const ConstView& v) { return v.contiguous(); }
ConstView flattened(const ConstView& v) { return {v.raw(), v.dtype(), v.device(), 1, v.size(), v.size()}; }

template <int N, typename F, typename T, typename... X>
void launch_map(Context& ctx, const char* name, F f, Matrix<T> y, Matrix<X>... x) {
  const int64_t packs = y.cols / N;
  const int64_t columns =
      std::min<int64_t>(threads, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(packs))));
  const int64_t rows = threads / columns;
  const dim3 block(static_cast<uint32_t>(columns), static_cast<uint32_t>(rows));
  const dim3 grid(divide_up(packs, columns),
                  static_cast<uint32_t>(std::min<int64_t>(divide_up(y.rows, rows), most_blocks_y)));
  launch(ctx, name, map_kernel<N, F, T, X...>, grid, block, 0, f, y, x...);
}

// Views of the types T (y) and X (x).
template <typename T, typename... X, typename F, typename... Views>
void map(Context& ctx, const char* name, F f, const View& y, const Views&... x) {
  if (y.empty()) return;
  if (y.rows() > 1 && (flat(y) && ... && flat(x))) {
    const View row(y.raw(), y.dtype(), y.device(), 1, y.size(), y.size());
    return map<T, X...>(ctx, name, f, row, flattened(x)...);
  }
  constexpr int width = std::min({pack_width<T>, pack_width<X>...});
  if ((whole_packs(y) && ... && whole_packs(x))) {
    launch_map<width>(ctx, name, f, matrix<T>(y), matrix<const X>(x)...);
  } else {
    launch_map<1>(ctx, name, f, matrix<T>(y), matrix<const X>(x)...);
  }
}

template <typename C>
struct Constant {
  C value;
  __device__ C operator()() const { return value; }
};
struct Convert {
  template <typename C>
  __device__ C operator()(C x) const {
    return x;
  }
};
struct Narrow {
  __device__ float operator()(double x) const { return static_cast<float>(x); }
};
struct Widen {
  __device__ double operator()(float x) const { return x; }
};
struct Sum {
  template <typename C>
  __device__ C operator()(C x, C y) const {
    return x + y;
  }
};
struct Product {
  template <typename C>
  __device__ C operator()(C a, C b) const {
    return a * b;
  }
};
struct ProductSum {
  template <typename C>
  __device__ C operator()(C a, C b, C y) const {
    return multiply_add(a, b, y);
  }
};
template <typename C>
struct Scale {
  C alpha;
  __device__ C operator()(C x) const { return alpha * x; }
};
struct Silu {
  template <typename C>
  __device__ C operator()(C x) const {
    return silu(x);
  }
};
struct SiluBackward {
  template <typename C>
  __device__ C operator()(C x, C dy) const {
    return dy * silu_slope(x);
  }
};

}  // namespace

void fill(Context& ctx, View x, double value) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    map<T>(ctx, "fill", Constant<Compute<T>>{static_cast<Compute<T>>(value)}, x);
  });
}

void copy(Context& ctx, const ConstView& x, View y) {
  if (x.dtype() == DType::i64) {  // bits, as bits: nothing is computed
    const View to(y.raw(), DType::f64, y.device(), y.rows(), y.cols(), y.stride());
    const ConstView from(x.raw(), DType::f64, x.device(), x.rows(), x.cols(), x.stride());
    return map<double, double>(ctx, "copy", Convert{}, to, from);
  }
  with_row_type(x.dtype(), [&]<typename X>(X) {
    with_row_type(y.dtype(), [&]<typename Y>(Y) {
      if constexpr (std::is_same_v<X, double> == std::is_same_v<Y, double>) {
        map<Y, X>(ctx, "copy", Convert{}, y, x);
      } else if constexpr (std::is_same_v<X, double>) {
        map<Y, X>(ctx, "copy", Narrow{}, y, x);
      } else {
        map<Y, X>(ctx, "copy", Widen{}, y, x);
      }
    });
  });
}

void add(Context& ctx, const ConstView& x, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) { map<T, T, T>(ctx, "add", Sum{}, y, x, ConstView(y)); });
}

void scale(Context& ctx, double alpha, View x) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    map<T, T>(ctx, "scale", Scale<Compute<T>>{static_cast<Compute<T>>(alpha)}, x, ConstView(x));
  });
}

void multiply(Context& ctx, const ConstView& a, const ConstView& b, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) { map<T, T, T>(ctx, "multiply", Product{}, y, a, b); });
}

void multiply_add(Context& ctx, const ConstView& a, const ConstView& b, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) {
    map<T, T, T, T>(ctx, "multiply_add", ProductSum{}, y, a, b, ConstView(y));
  });
}

void silu(Context& ctx, const ConstView& x, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) { map<T, T>(ctx, "silu", Silu{}, y, x); });
}

void silu_backward(Context& ctx, const ConstView& x, const ConstView& dy, View dx) {
  with_row_type(dx.dtype(),
                [&]<typename T>(T) { map<T, T, T>(ctx, "silu_backward", SiluBackward{}, dx, x, dy); });
}

}  // namespace lime::cuda
