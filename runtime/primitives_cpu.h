// Matrix product on the CPU behind lime::gemm: no checks, host pointers. Internal to runtime/.
#pragma once

#include "runtime/kernels_cpu.h"

namespace lime::cpu {

// c = alpha * op(a) op(b) + beta * c, op by `ta`, `tb`. One thread.
template <typename T>
void gemm(bool ta, bool tb, T alpha, Matrix<const T> a, Matrix<const T> b, T beta, Matrix<T> c);

}  // namespace lime::cpu
