// Matrix products of f32 on AMX, the tile unit of Intel's Xeons since 2023, which multiplies bf16 and adds up
// in f32.
//
// Each number is the sum of three bf16 numbers, exactly; six of the nine products of such pieces are added
// up, the other three being below f32's rounding. The result is as accurate as that of f32's own
// multiply-adds (its errors were half as large in tests), at 2.5 times their peak rate. The method is that of
// Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision
// computations" (2019).
//
// What differs from f32 arithmetic: an infinity in A or B gives NaN; numbers below 1e-33 lose digits, as the
// unit takes subnormal pieces for zero. An element of C is summed in an order that depends on the depth
// alone.
#pragma once

#include "runtime/kernels_cpu.h"

namespace lime::cpu {

// The CPU and the operating system have it, and the environment does not say LIME_AMX=0.
bool amx_available();

// Available, and allowed: tests forbid it to see what other CPUs compute.
bool amx_in_use();
void allow_amx(bool);

// c = alpha * op(a) op(b) + beta * c, op by `ta`, `tb`; beta = 0 ignores what c held. Only where
// amx_available().
void amx_gemm(bool ta, bool tb, float alpha, Matrix<const float> a, Matrix<const float> b, float beta,
              Matrix<float> c);
// c = a b, a of whole numbers of 8 bits, which are one bf16 number each, b rounded to 16 bits: a third of the
// products.
void amx_gemm_i8(Matrix<const int8_t> a, Matrix<const float> b, Matrix<float> c);

}  // namespace lime::cpu
