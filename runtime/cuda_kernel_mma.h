// Tensor cores and asynchronous copies for kernels (sm_80 and later); see runtime/cuda_kernel.h.
//
// Fragments, with g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix Fragments for mma.m16n8k16" and
// ".m16n8k8"):
//   d, 16 x 8 f32:        d[0], d[1] = rows g, columns 2t, 2t+1;         d[2], d[3] = row g + 8
//   bf16 a, 16 x 16:      a[0] = row g, columns 2t, 2t+1;  a[1] = row g + 8;  a[2], a[3] = columns + 8
//   bf16 b, 16 x 8:       b[0] = rows 2t, 2t+1 of column g;                   b[1] = rows + 8
//   tf32 a, 16 x 8:       a[0] = row g, column t;          a[1] = row g + 8;  a[2], a[3] = column t + 4
//   tf32 b, 8 x 8:        b[0] = row t, column g;                             b[1] = row t + 4
// All lanes of the warp must call.
#pragma once

#include "runtime/cuda_kernel.h"

namespace lime::cuda {

#ifdef LIME_CUDA_EMULATED
#define LIME_PLACE , emulator::Place place = emulator::Place::current()
#define LIME_PLACE_GIVEN , place
#else
#define LIME_PLACE
#define LIME_PLACE_GIVEN
#endif

// d += a b. Products of bf16 are exact, sums f32.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2] LIME_PLACE) {
#ifdef LIME_CUDA_EMULATED
  emulator::mma_bf16(d, a, b, place);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// The same of tf32: f32 bits of which the upper 19 count (to_tf32 rounds to them).
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2] LIME_PLACE) {
#ifdef LIME_CUDA_EMULATED
  emulator::mma_tf32(d, a, b, place);
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, "
      "%1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// To nearest, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float x) {
#ifdef LIME_CUDA_EMULATED
  const uint32_t bits = __float_as_uint(x);
  return x != x ? 0x7fffffffu : (bits + 0x1000u) & 0xffffe000u;
#else
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#endif
}

// An address in shared memory, for arithmetic that pointers do not have.
#ifdef LIME_CUDA_EMULATED
using SharedAddress = uintptr_t;
inline SharedAddress shared_address(const void* p) { return reinterpret_cast<SharedAddress>(p); }
#else
using SharedAddress = uint32_t;
__device__ __forceinline__ SharedAddress shared_address(const void* p) {
  return static_cast<SharedAddress>(__cvta_generic_to_shared(p));
}
#endif

// Four 8 x 8 matrices of 16-bit elements from shared memory. Lane l names the beginning of row l % 8 of
// matrix l / 8 (16-byte aligned); r[m] receives elements 2t, 2t+1 of row g of matrix m: with rows of a
// row-major operand, a fragment.
__device__ __forceinline__ void ldmatrix(uint32_t (&r)[4], SharedAddress row LIME_PLACE) {
#ifdef LIME_CUDA_EMULATED
  emulator::load_matrices<false>(r, reinterpret_cast<const void*>(row), place);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
#endif
}
__device__ __forceinline__ void ldmatrix(uint32_t (&r)[4], const void* shared_row LIME_PLACE) {
  ldmatrix(r, shared_address(shared_row) LIME_PLACE_GIVEN);
}
// Each matrix transposed: r[m] receives rows 2t, 2t+1 of column g.
__device__ __forceinline__ void ldmatrix_trans(uint32_t (&r)[4], SharedAddress row LIME_PLACE) {
#ifdef LIME_CUDA_EMULATED
  emulator::load_matrices<true>(r, reinterpret_cast<const void*>(row), place);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_trans(uint32_t (&r)[4], const void* shared_row LIME_PLACE) {
  ldmatrix_trans(r, shared_address(shared_row) LIME_PLACE_GIVEN);
}

// Starts to copy 16 bytes, both sides 16-byte aligned, from global to shared memory; zeros where not `valid`
// (then `from` is not read). The thread has its own copies after copy_wait, the block's after a barrier that
// follows.
__device__ __forceinline__ void copy_async(void* shared_to, const void* from, bool valid LIME_PLACE) {
#ifdef LIME_CUDA_EMULATED
  if (reinterpret_cast<uintptr_t>(shared_to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0)
    emulator::fault("asynchronous copy that is not 16-byte aligned", place);
  emulator::start_copy(shared_to, valid ? from : nullptr, 16, place);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared_to)),
               "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
               : "memory");
#endif
}
// Closes a group: the copies started since the last.
__device__ __forceinline__ void copy_commit() {
#ifdef LIME_CUDA_EMULATED
  emulator::commit_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits for all groups but the newest N.
template <int N>
__device__ __forceinline__ void copy_wait() {
#ifdef LIME_CUDA_EMULATED
  emulator::wait_copies(N);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

#undef LIME_PLACE
#undef LIME_PLACE_GIVEN

}  // namespace lime::cuda
