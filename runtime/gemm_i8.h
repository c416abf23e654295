// Product of whole numbers of 8 bits with floats, on the CPU: what scores items whose rows are kept as i8.
#pragma once

#include <cstdint>

#include "runtime/context.h"

namespace lime::cpu {

// c = a b, summed in f32: a is c.rows() x b.rows(), contiguous. A row of c depends on its own row of a alone.
// Where gemm() would use AMX this rounds b to 16 bits of mantissa (relative error 2^-17), far below what
// rounding to 8 bits has cost a, for a third of the work. Elsewhere it takes scratch from the context's
// arena, and gives it back.
void gemm_i8(Context&, const int8_t* a, const ConstView& b, View c);

}  // namespace lime::cpu
