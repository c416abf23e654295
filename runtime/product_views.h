// What cuBLASLt is given of a product of which a side is 1. A column whose numbers lie side by side is a row,
// transposed: said so, its matrix is as long as its numbers, and aligned as they are. As a column it is a
// matrix whose leading dimension is one number, for which the library may have no algorithm in 16 bits, and
// of which its search for one has called the sizes invalid (PyTorch's Blas.cpp). Internal to runtime/.
#pragma once

#include "runtime/tensor.h"

namespace lime::cuda {

// c = op(a) op(b).
struct ProductViews {
  bool ta, tb;
  ConstView a, b;
  View c;
};

inline bool is_dense_column(const ConstView& v) { return v.rows() > 1 && v.cols() == 1 && v.stride() == 1; }

// The same product without dense columns.
inline ProductViews without_columns(ProductViews p) {
  const auto row = [](const ConstView& v, bool& transposed) {
    if (!is_dense_column(v)) return v;
    transposed = !transposed;
    return ConstView(v.raw(), v.dtype(), v.device(), 1, v.rows(), v.rows());
  };
  p.a = row(p.a, p.ta), p.b = row(p.b, p.tb);
  if (!is_dense_column(p.c)) return p;
  return {!p.tb, !p.ta, p.b, p.a, View(p.c.raw(), p.c.dtype(), p.c.device(), 1, p.c.rows(), p.c.rows())};
}

}  // namespace lime::cuda
