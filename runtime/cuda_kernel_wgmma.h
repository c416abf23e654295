// Matrix products of warpgroups (sm_90a) for kernels; see runtime/cuda_kernel.h.
//
// Four warps, from a multiple of four, issue d += a b together: a is 64 x 16, b 16 x n, of bf16; d is 64 x n,
// of f32. Warp w of the four has rows 16w .. 16w+15 of d, and of a where that is in registers, in the
// fragments of runtime/cuda_kernel_mma.h: d[4i] .. d[4i+3] are those of columns 8i .. 8i+7. b is always read
// from shared memory, once for all four warps.
//
// A matrix in shared memory is rows of 64 or 128 bytes without gaps, of which the first is at a multiple of 8
// rows' bytes. Its pieces of 16 bytes change places as those of layers' `Swizzled` do: piece p of row r is at
// p ^ r % 8 in rows of 128 bytes, p ^ r / 2 % 4 in rows of 64 (PTX ISA, "Shared Memory Matrix Layout",
// "Strides"; 128- and 64-byte swizzling). Either side of a product may lie along the rows:
//   by columns   the 16 that are summed over are columns: from describe_matrix(...) + 32 k bytes
//   by rows      the 16 that are summed over are rows: from describe_matrix(...) + 16 k rows' bytes; then
//                the other side, 64 of a or n of b, is all of a row
//
// Products run while the warps go on:
//   products_begin(registers...)     all that they read or write was written before
//   ... wgmma(...) ...
//   products_end(registers...)       waits for them; until then these registers are nobody's
// What threads wrote to shared memory is there for products after fence_for_products() by those who wrote it,
// and a barrier.
#pragma once

#include "runtime/cuda_kernel_mma.h"
#include "runtime/wgmma.h"
#ifdef LIME_CUDA_EMULATED
#include "runtime/emulator/wgmma.h"
#endif

namespace lime::cuda {

// Whether this pass of the compiler has the instructions. Kernels that use them call refuse_to_run() where it
// has not, and are not launched there (wgmma_in_use).
#if defined(LIME_CUDA_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool compiled_for_wgmma = true;
#else
inline constexpr bool compiled_for_wgmma = false;
#endif

// Ends the launch with an error. It takes CUDA_FORCE_PTX_JIT=1 in the environment, which puts the PTX in the
// place of code for sm_90a, to come here.
__device__ __forceinline__ void refuse_to_run() {
#ifndef LIME_CUDA_EMULATED
  __trap();
#endif
}

inline constexpr int warpgroup_size = 4 * warp_size;

#ifdef LIME_CUDA_EMULATED
using emulator::MatrixDescriptor;
#define LIME_PLACE , emulator::Place place = emulator::Place::current()
#else
struct MatrixDescriptor {
  uint64_t bits;
  __device__ __forceinline__ MatrixDescriptor operator+(int bytes) const {
    return {bits + static_cast<uint64_t>(bytes / 16)};
  }
};
#define LIME_PLACE
#endif

// PTX ISA, "Matrix Descriptor Format": the kind of swizzle, the stride from eight rows to the next eight, and
// the stride between groups of columns, of which there is one.
template <int row_bytes>
inline constexpr uint64_t matrix_layout =
    uint64_t{row_bytes == 128 ? 1 : 2} << 62 | uint64_t{8 * row_bytes / 16} << 32 | uint64_t{1} << 16;

template <int row_bytes>
__device__ __forceinline__ MatrixDescriptor describe_matrix(SharedAddress first) {
  static_assert(row_bytes == 64 || row_bytes == 128);
#ifdef LIME_CUDA_EMULATED
  return {first, row_bytes};
#else
  return {matrix_layout<row_bytes> | (first & 0x3ffff) / 16};
#endif
}

// d += a b, or d = a b. `b_by_rows`, `a_by_rows`: see above.
template <bool b_by_rows>
__device__ __forceinline__ void wgmma(float (&d)[32], const uint32_t (&a)[4], MatrixDescriptor b,
                                      bool add LIME_PLACE);
template <bool b_by_rows>
__device__ __forceinline__ void wgmma(float (&d)[16], const uint32_t (&a)[4], MatrixDescriptor b,
                                      bool add LIME_PLACE);
template <bool a_by_rows, bool b_by_rows>
__device__ __forceinline__ void wgmma(float (&d)[32], MatrixDescriptor a, MatrixDescriptor b,
                                      bool add LIME_PLACE);
template <bool a_by_rows, bool b_by_rows>
__device__ __forceinline__ void wgmma(float (&d)[16], MatrixDescriptor a, MatrixDescriptor b,
                                      bool add LIME_PLACE);

#ifdef LIME_CUDA_EMULATED

template <bool b_by_rows>
void wgmma(float (&d)[32], const uint32_t (&a)[4], MatrixDescriptor b, bool add, emulator::Place place) {
  emulator::wgmma<64, false, b_by_rows>(d, a, {}, b, add, place);
}
template <bool b_by_rows>
void wgmma(float (&d)[16], const uint32_t (&a)[4], MatrixDescriptor b, bool add, emulator::Place place) {
  emulator::wgmma<32, false, b_by_rows>(d, a, {}, b, add, place);
}
template <bool a_by_rows, bool b_by_rows>
void wgmma(float (&d)[32], MatrixDescriptor a, MatrixDescriptor b, bool add, emulator::Place place) {
  emulator::wgmma<64, a_by_rows, b_by_rows>(d, nullptr, a, b, add, place);
}
template <bool a_by_rows, bool b_by_rows>
void wgmma(float (&d)[16], MatrixDescriptor a, MatrixDescriptor b, bool add, emulator::Place place) {
  emulator::wgmma<32, a_by_rows, b_by_rows>(d, nullptr, a, b, add, place);
}

#else

// Registers of d in a list of operands, and in the instruction.
#define LIME_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define LIME_D16(i) LIME_D4(i), LIME_D4(i + 4), LIME_D4(i + 8), LIME_D4(i + 12)
#define LIME_D16_NAMES "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define LIME_D32_NAMES \
  LIME_D16_NAMES ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LIME_WGMMA(N, D, ADD, OPERANDS)   \
  "{\n.reg .pred p;\nsetp.ne.b32 p, " ADD \
  ", 0;\n"                                \
  "wgmma.mma_async.sync.aligned.m64n" N "k16.f32.bf16.bf16 {" D "}, " OPERANDS ";\n}\n"

template <bool b_by_rows>
__device__ __forceinline__ void wgmma(float (&d)[32], const uint32_t (&a)[4], MatrixDescriptor b, bool add) {
  asm volatile(LIME_WGMMA("64", LIME_D32_NAMES, "%37", "{%32, %33, %34, %35}, %36, p, 1, 1, %38")
               : LIME_D16(0), LIME_D16(16)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits), "r"(int{add}), "n"(int{b_by_rows}));
}
template <bool b_by_rows>
__device__ __forceinline__ void wgmma(float (&d)[16], const uint32_t (&a)[4], MatrixDescriptor b, bool add) {
  asm volatile(LIME_WGMMA("32", LIME_D16_NAMES, "%21", "{%16, %17, %18, %19}, %20, p, 1, 1, %22")
               : LIME_D16(0)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits), "r"(int{add}), "n"(int{b_by_rows}));
}
template <bool a_by_rows, bool b_by_rows>
__device__ __forceinline__ void wgmma(float (&d)[32], MatrixDescriptor a, MatrixDescriptor b, bool add) {
  asm volatile(LIME_WGMMA("64", LIME_D32_NAMES, "%34", "%32, %33, p, 1, 1, %35, %36")
               : LIME_D16(0), LIME_D16(16)
               : "l"(a.bits), "l"(b.bits), "r"(int{add}), "n"(int{a_by_rows}), "n"(int{b_by_rows}));
}
template <bool a_by_rows, bool b_by_rows>
__device__ __forceinline__ void wgmma(float (&d)[16], MatrixDescriptor a, MatrixDescriptor b, bool add) {
  asm volatile(LIME_WGMMA("32", LIME_D16_NAMES, "%18", "%16, %17, p, 1, 1, %19, %20")
               : LIME_D16(0)
               : "l"(a.bits), "l"(b.bits), "r"(int{add}), "n"(int{a_by_rows}), "n"(int{b_by_rows}));
}

#undef LIME_WGMMA
#undef LIME_D32_NAMES
#undef LIME_D16_NAMES
#undef LIME_D16
#undef LIME_D4

#endif

// Keeps the compiler from moving reads and writes of these registers to the other side.
template <int n>
__device__ __forceinline__ void hold_registers([[maybe_unused]] float (&x)[n]) {
#ifndef LIME_CUDA_EMULATED
#pragma unroll
  for (int i = 0; i < n; ++i) asm volatile("" : "+f"(x[i])::"memory");
#endif
}
template <int n, int m>
__device__ __forceinline__ void hold_registers([[maybe_unused]] uint32_t (&x)[n][m]) {
#ifndef LIME_CUDA_EMULATED
#pragma unroll
  for (int i = 0; i < n; ++i)
#pragma unroll
    for (int j = 0; j < m; ++j) asm volatile("" : "+r"(x[i][j])::"memory");
#endif
}

template <typename... Registers>
__device__ __forceinline__ void products_begin(Registers&... registers) {
  (hold_registers(registers), ...);
#ifdef LIME_CUDA_EMULATED
  emulator::fence_products();
#else
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

template <typename... Registers>
__device__ __forceinline__ void products_end(Registers&... registers) {
#ifdef LIME_CUDA_EMULATED
  emulator::wait_products();
#else
  asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
#endif
  (hold_registers(registers), ...);
}

// Four 8 x 8 matrices of 16-bit elements to shared memory: ldmatrix (cuda_kernel_mma.h) in the other
// direction.
__device__ __forceinline__ void stmatrix(SharedAddress row, const uint32_t (&r)[4] LIME_PLACE) {
#ifdef LIME_CUDA_EMULATED
  emulator::store_matrices(r, reinterpret_cast<void*>(row), place);
#else
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(r[0]),
               "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
#endif
}

// To shared memory, by ordinary stores and stmatrix, and by copy_async once it was waited for.
__device__ __forceinline__ void fence_for_products() {
#ifdef LIME_CUDA_EMULATED
  emulator::fence_stores();
#else
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

#undef LIME_PLACE

}  // namespace lime::cuda
