// For the authors of kernels: everything that a *_cuda.cu file needs. The one header through which CUDA's own
// is included; where LIME_CUDA_EMULATED is defined, the emulator takes its place
// (runtime/emulator/emulator.h, toolkit/) and the same source is compiled as C++.
//
//   namespace lime::cuda {
//   namespace {
//   template <typename T>
//   __global__ void scale_kernel(T alpha, Matrix<T> x) { ... threadIdx.x ... }
//   }
//   void scale(Context& ctx, double alpha, View x) {              // called by X.cc after all checks
//     with_row_type(x.dtype(), [&]<typename T>(T) {
//       launch(ctx, "scale", scale_kernel<T>, grid, block, 0, static_cast<T>(alpha), matrix<T>(x));
//     });
//   }
//   }
//
// Rules: no float atomics, every sum in an order that the shapes alone decide; threads of a block reach each
// barrier together (a thread without work does not return early); nothing waits for the device; scratch comes
// from the arena, in a Scope. Kernels are free functions or templates without default arguments, in an
// anonymous namespace. Tensor cores and asynchronous copies: runtime/cuda_kernel_mma.h.
#pragma once

#ifdef LIME_CUDA_EMULATED
#include "runtime/emulator/emulator.h"
#include "runtime/emulator/memory.h"
#include "runtime/emulator/toolkit/cuda_runtime_api.h"
#include "runtime/emulator/warp.h"
#else
#include <cuda_runtime.h>
#endif

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <type_traits>
#include <utility>

#include "runtime/context.h"
#include "runtime/tensor.h"

namespace lime::cuda {

inline constexpr int warp_size = 32;
inline constexpr uint32_t all_lanes = 0xffffffffu;

// --- what kernels are given
// --------------------------------------------------------------------------------------------

// Rows x cols with a row stride, in elements: a view, inside a kernel.
template <typename T>
struct Matrix {
  T* data;
  int64_t rows, cols, stride;
  __device__ T* row(int64_t r) const { return data + r * stride; }
};

// matrix<float>(view) to write, matrix<const float>(view) to read.
template <typename T>
requires std::is_const_v<T> Matrix<T> matrix(const ConstView& v) {
  return {v.data<std::remove_const_t<T>>(), v.rows(), v.cols(), v.stride()};
}
template <typename T>
requires(!std::is_const_v<T>) Matrix<T> matrix(const View& v) {
  return {v.data<T>(), v.rows(), v.cols(), v.stride()};
}

// f32 that may be rounded to tf32 where it is multiplied, for tensor cores.
struct tf32 {
  float value;
};

// The type that rows of T are computed in: f32 for bf16 and tf32, else T.
template <typename T>
using Compute = std::conditional_t<std::is_same_v<std::remove_const_t<T>, bf16> ||
                                       std::is_same_v<std::remove_const_t<T>, tf32>,
                                   float, std::remove_const_t<T>>;

// Calls f with a value of the element type of rows: float, double or bf16.
template <typename F>
void with_row_type(DType dtype, F f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::bf16:
      return f(bf16{});
    case DType::i64:
      break;
  }
  LIME_CHECK(false, "no arithmetic on ", to_string(dtype));
}

// The same where rows are multiplied: f32 is tf32 if the context allows that.
template <typename F>
void with_multiplied_type(const Context& ctx, DType dtype, F f) {
  ctx.tf32() && dtype == DType::f32 ? f(tf32{}) : with_row_type(dtype, f);
}

// --- launch
// -----------------------------------------------------------------------------------------------------------

constexpr uint32_t divide_up(int64_t n, int64_t by) { return static_cast<uint32_t>((n + by - 1) / by); }

#ifdef LIME_CUDA_EMULATED
// A pointer into host memory, or another device's, would end a kernel on a GPU.
template <typename T>
void check_argument(const char* name, int device, const T& argument) {
  if constexpr (std::is_pointer_v<T>) {
    LIME_CHECK(!argument || emulator::is_device_memory(argument, 1), "kernel '", name,
               "' is given host memory");
    LIME_CHECK(!argument || emulator::device_of(argument) == device, "kernel '", name, "' on cuda:", device,
               " is given memory of cuda:", emulator::device_of(argument));
  } else if constexpr (requires { argument.data, argument.rows, argument.cols; }) {
    if (argument.rows > 0 && argument.cols > 0) check_argument(name, device, argument.data);
  }
}
#endif

// The most dynamic shared memory that a block may have on the context's device.
inline size_t most_shared_bytes(const Context& ctx) {
  int bytes = 0;
  const cudaError_t status =
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, ctx.device().index);
  if (status != cudaSuccess) throw_failure("cudaDeviceGetAttribute", status);
  return static_cast<size_t>(bytes);
}

// Lets blocks of a kernel have so much dynamic shared memory on the current device, which is number `device`.
// What a kernel may have never shrinks: another thread may be about to launch it with more.
inline cudaError_t allow_shared_bytes(const void* kernel, int device, size_t bytes) {
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, size_t> allowed;
  const std::lock_guard lock(mutex);
  size_t& most = allowed[{kernel, device}];
  if (bytes <= most) return cudaSuccess;
  const cudaError_t status =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status == cudaSuccess) most = bytes;
  return status;
}

// Puts the kernel on the context's stream. `name` is the operation's, for error messages. An empty grid is no
// launch. `shared_bytes` of dynamic shared memory, up to what the device has (227 KB on sm_90). Throws Error
// where the launch is refused; what fails while the kernel runs is reported by the next synchronisation.
template <typename... Parameters, typename... Arguments>
void launch(Context& ctx, const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#ifdef LIME_CUDA_EMULATED
  LIME_CHECK(ctx.device().type == DeviceType::cuda, "kernel '", name, "' on ", to_string(ctx.device()));
  (check_argument(name, ctx.device().index, arguments), ...);
#endif
  const auto describe = [&] {
    return str("kernel '", name, "' (grid ", grid.x, "x", grid.y, "x", grid.z, ", block ", block.x, "x",
               block.y, "x", block.z, ", ", shared_bytes, " bytes of shared memory)");
  };
  ctx.stream().activate();
  const void* const function = reinterpret_cast<const void*>(kernel);
  constexpr size_t without_asking = 48 * 1024;
  if (shared_bytes > without_asking) {
    const cudaError_t status = allow_shared_bytes(function, ctx.device().index, shared_bytes);
    if (status != cudaSuccess) throw_failure(describe(), status);
  }
#ifdef LIME_CUDA_EMULATED
  emulator::launch({name, function, grid, block, shared_bytes, ctx.stream().handle()},
                   [kernel, ... given = static_cast<Parameters>(arguments)] { kernel(given...); });
#else
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(ctx.stream().handle())>>>(
      static_cast<Parameters>(arguments)...);
#endif
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess) throw_failure(describe(), status);
}

// --- memory
// -------------------------------------------------------------------------------------------------------------

// The block's dynamic shared memory, 1024-byte aligned in kernels that use no static shared memory.
template <typename T>
__device__ T* dynamic_shared() {
#ifdef LIME_CUDA_EMULATED
  return static_cast<T*>(emulator::dynamic_shared());
#else
  extern __shared__ __align__(1024) unsigned char lime_dynamic_shared[];
  return reinterpret_cast<T*>(lime_dynamic_shared);
#endif
}

__device__ inline float to_compute(float x) { return x; }
__device__ inline double to_compute(double x) { return x; }
__device__ inline float to_compute(tf32 x) { return x.value; }
__device__ inline float to_compute(bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }

// Rounds to T as stored: bf16 to nearest even.
template <typename T>
__device__ __forceinline__ T from_compute(Compute<T> x) {
  if constexpr (std::is_same_v<T, bf16>) {
#ifdef LIME_CUDA_EMULATED
    return to_bf16(x);
#else
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
#endif
  } else {
    return T{x};
  }
}

// Two bf16 in a register, `low` in the low half: tensor cores take them so.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
#ifdef LIME_CUDA_EMULATED
  return static_cast<uint32_t>(to_bf16(low).bits) | static_cast<uint32_t>(to_bf16(high).bits) << 16;
#else
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}

// N neighbours that are loaded and stored at once; 16 bytes at most, aligned to their size.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};
template <typename T>
inline constexpr int pack_width = 16 / static_cast<int>(sizeof(T));  // elements of 16 bytes

#ifdef LIME_CUDA_EMULATED
// It would end a kernel on a GPU; most CPUs do not mind.
inline void check_alignment(const void* p, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(p) % alignment != 0)
    emulator::fault(str("a pack of ", alignment, " bytes at an address that is no multiple of them"),
                    emulator::Place::current());
}
#else
__device__ __forceinline__ void check_alignment(const void*, size_t) {}
#endif

template <int N, typename T>
__device__ __forceinline__ Pack<std::remove_const_t<T>, N> load_pack(T* p) {
  using P = Pack<std::remove_const_t<T>, N>;
  check_alignment(p, alignof(P));
  return *reinterpret_cast<const P*>(p);
}
template <typename T, int N>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, N>& pack) {
  check_alignment(p, alignof(Pack<T, N>));
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

// Host: whether all rows begin at multiples of 16 bytes and are a whole number of 16 bytes long.
inline bool whole_packs(const ConstView& v) {
  const auto element = static_cast<int64_t>(size_of(v.dtype()));
  return reinterpret_cast<uintptr_t>(v.raw()) % 16 == 0 && v.cols() * element % 16 == 0 &&
         (v.rows() <= 1 || v.stride() * element % 16 == 0);
}

// --- sums and maxima, the same bits in every lane
// ---------------------------------------------------------------------

// Over the lanes of a warp, all of which must call.
template <typename T>
__device__ __forceinline__ T warp_sum(T x) {
  for (int distance = warp_size / 2; distance > 0; distance /= 2)
    x += __shfl_xor_sync(all_lanes, x, distance);
  return x;
}
// NaN where any lane has one.
template <typename T>
__device__ __forceinline__ T warp_max(T x) {
  for (int distance = warp_size / 2; distance > 0; distance /= 2) {
    const T other = __shfl_xor_sync(all_lanes, x, distance);
    x = other > x || other != other ? other : x;
  }
  return x;
}

__device__ inline uint32_t thread_in_block() {
  return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}

// Over the threads of a block (a multiple of 32), all of which must call: within each warp, then over the
// warps in order.
template <typename T>
__device__ T block_sum(T x) {
  __shared__ T of_warp[32];
  const uint32_t thread = thread_in_block(), warps = blockDim.x * blockDim.y * blockDim.z / warp_size;
  x = warp_sum(x);
  __syncthreads();  // an earlier sum has been read
  if (thread % warp_size == 0) of_warp[thread / warp_size] = x;
  __syncthreads();
  T sum = of_warp[0];
  for (uint32_t w = 1; w < warps; ++w) sum += of_warp[w];
  return sum;
}

// --- jagged
// -------------------------------------------------------------------------------------------------------------

// The segment that holds `row`: offsets[b] <= row < offsets[b + 1].
__device__ inline int64_t segment_of(const int64_t* offsets, int64_t segments, int64_t row) {
  int64_t low = 0, high = segments;  // offsets[low] <= row < offsets[high]
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (offsets[middle] <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace lime::cuda

namespace lime {
template <>
constexpr DType dtype_of<cuda::tf32>() {
  return DType::f32;
}
}  // namespace lime
