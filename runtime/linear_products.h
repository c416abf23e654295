// The products of a linear layer y = x w + bias together with what else goes over the same rows. One contract
// for all devices, types and determinism as in primitives.h.
//
// On CUDA each is one call of cuBLASLt where the library has such a product; elsewhere it is the product and
// a primitive. The library asks for vectors of the type of the product's result: so the bias of bf16 rows is
// rounded to bf16 before it is added to a sum in f32, which is rounded once; gradients of parameters are f32,
// and so are their products. CPU results are those of the two primitives, bit for bit.
#pragma once

#include "runtime/primitives.h"

namespace lime {

// 1 x c, of the parameters' type; and in rows' type, where somebody has it. Else it is made when it is
// wanted.
struct ProductBias {
  ProductBias(const ConstView& of_parameters, const ConstView& of_rows = {})
      : values(of_parameters), in_rows(of_rows) {}
  ConstView values, in_rows;
};

// y (r x c) = x (r x k) w (k x c) + bias (1 x c). y may be of the parameters' type, as in gemm.
void gemm_bias(Context&, const ConstView& x, const ConstView& w, const ProductBias& bias, View y);

// y (r x c) = onto (r x c) + x w + bias, onto of y's type. Where this is one product; else false, and nothing
// is done: whoever adds passes over the rows anyhow.
bool gemm_bias_onto(Context&, const ConstView& x, const ConstView& w, const ProductBias& bias,
                    const ConstView& onto, View y);

// dw (k x c) += x^T dy;  dbias (1 x c) += column sums of dy (r x c).
void gemm_bias_gradient(Context&, const ConstView& x, const ConstView& dy, View dw, View dbias);

}  // namespace lime
