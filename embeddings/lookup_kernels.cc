#include "embeddings/lookup_kernels.h"

#include <algorithm>

#include "embeddings/isa.h"
#include "embeddings/row_type.h"

namespace lime {

namespace {

// Rows are found at random: the loads of a row this many occurrences ahead are begun now.
constexpr int64_t ahead = 16;

template <typename Row>
LIME_INLINE inline void prefetch_row(const Row* row, int64_t dim) {
  constexpr int64_t of_line = 64 / sizeof(Row);
  for (int64_t c = 0; c < dim; c += of_line) __builtin_prefetch(row + c);
}

template <typename To, typename From>
LIME_INLINE inline void set(To* __restrict to, const From* __restrict from, int64_t dim) {
  for (int64_t c = 0; c < dim; ++c) to[c] = static_cast<To>(widened(from[c]));
}

template <typename To, typename From>
LIME_INLINE inline void accumulate(To* __restrict to, const From* __restrict from, int64_t dim) {
  for (int64_t c = 0; c < dim; ++c) to[c] += static_cast<To>(widened(from[c]));
}

LIME_INLINE inline int64_t present_ids(const int32_t* slots, int64_t begin, int64_t end) {
  int64_t n = 0;
  for (int64_t o = begin; o < end; ++o) n += slots[o] >= 0;
  return n;
}

template <typename Row, typename T>
LIME_INLINE inline void gather_single(const FeatureSlots& f, const void* const* row_of_slot, int64_t dim,
                                      T* out, int64_t stride) {
  const auto row = [=](int64_t i) LIME_INLINE { return static_cast<const Row*>(row_of_slot[f.slots[i]]); };
  for (int64_t i = 0; i < f.rows; ++i, out += stride) {
    if (i + ahead < f.rows && f.slots[i + ahead] >= 0) prefetch_row(row(i + ahead), dim);
    if (f.slots[i] >= 0) {
      set(out, row(i), dim);
    } else {
      std::fill_n(out, dim, T{0});
    }
  }
}

template <typename Row, typename T>
LIME_INLINE inline void gather_pooled(const FeatureSlots& f, const void* const* row_of_slot, int64_t dim,
                                      T* out, int64_t stride) {
  for (int64_t i = 0; i < f.rows; ++i, out += stride) {
    int64_t n = 0;
    for (int64_t o = f.offsets[static_cast<size_t>(i)]; o < f.offsets[static_cast<size_t>(i) + 1]; ++o) {
      if (f.slots[o] < 0) continue;
      const auto* row = static_cast<const Row*>(row_of_slot[f.slots[o]]);
      if (n++ == 0) {
        set(out, row, dim);
      } else {
        accumulate(out, row, dim);
      }
    }
    if (n == 0) {
      std::fill_n(out, dim, T{0});
    } else if (n > 1 && f.pooling == Pooling::mean) {
      const T share = T{1} / static_cast<T>(n);
      for (int64_t c = 0; c < dim; ++c) out[c] *= share;
    }
  }
}

template <typename T>
LIME_INLINE inline void scatter_one(const T* dout, int64_t dim, int32_t slot, float* gradient,
                                    uint8_t* present) {
  float* to = gradient + slot * dim;
  if (present[slot]) {
    accumulate(to, dout, dim);
  } else {
    present[slot] = 1;
    set(to, dout, dim);
  }
}

template <typename T>
LIME_INLINE inline void scatter_scaled(const T* dout, float share, int64_t dim, int32_t slot, float* gradient,
                                       uint8_t* present) {
  float* __restrict to = gradient + slot * dim;
  const T* __restrict from = dout;
  if (present[slot]) {
    for (int64_t c = 0; c < dim; ++c) to[c] += static_cast<float>(from[c]) * share;
  } else {
    present[slot] = 1;
    for (int64_t c = 0; c < dim; ++c) to[c] = static_cast<float>(from[c]) * share;
  }
}

template <typename T>
LIME_INLINE inline void scatter(const FeatureSlots& f, const T* dout, int64_t stride, int64_t dim,
                                float* gradient, uint8_t* present) {
  for (int64_t i = 0; i < f.rows; ++i, dout += stride) {
    if (f.offsets.empty()) {
      if (i + ahead < f.rows && f.slots[i + ahead] >= 0)
        prefetch_row(gradient + f.slots[i + ahead] * dim, dim);
      if (f.slots[i] >= 0) scatter_one(dout, dim, f.slots[i], gradient, present);
      continue;
    }
    const int64_t begin = f.offsets[static_cast<size_t>(i)], end = f.offsets[static_cast<size_t>(i) + 1];
    const int64_t n = f.pooling == Pooling::mean ? present_ids(f.slots, begin, end) : 1;
    const float share = 1.0f / static_cast<float>(std::max<int64_t>(n, 1));
    for (int64_t o = begin; o < end; ++o) {
      if (f.slots[o] < 0) continue;
      if (n == 1) {
        scatter_one(dout, dim, f.slots[o], gradient, present);
      } else {
        scatter_scaled(dout, share, dim, f.slots[o], gradient, present);
      }
    }
  }
}

}  // namespace

template <typename Row, typename T>
void gather_rows(const FeatureSlots& f, const void* const* row_of_slot, int64_t dim, T* out, int64_t stride) {
  if (f.offsets.empty()) {
    with_widest_vectors([=]() LIME_INLINE { gather_single<Row>(f, row_of_slot, dim, out, stride); });
  } else {
    with_widest_vectors([=]() LIME_INLINE { gather_pooled<Row>(f, row_of_slot, dim, out, stride); });
  }
}

template <typename T>
void scatter_rows(const FeatureSlots& f, const T* dout, int64_t stride, int64_t dim, float* gradient,
                  uint8_t* present) {
  with_widest_vectors([=]() LIME_INLINE { scatter(f, dout, stride, dim, gradient, present); });
}

template void gather_rows<float>(const FeatureSlots&, const void* const*, int64_t, float*, int64_t);
template void gather_rows<float>(const FeatureSlots&, const void* const*, int64_t, double*, int64_t);
template void gather_rows<bf16>(const FeatureSlots&, const void* const*, int64_t, float*, int64_t);
template void gather_rows<bf16>(const FeatureSlots&, const void* const*, int64_t, double*, int64_t);
template void scatter_rows(const FeatureSlots&, const float*, int64_t, int64_t, float*, uint8_t*);
template void scatter_rows(const FeatureSlots&, const double*, int64_t, int64_t, float*, uint8_t*);

template <typename Row>
void set_row(const Row* from, float* to, int64_t dim) {
  with_widest_vectors([=]() LIME_INLINE { set(to, from, dim); });
}
template <typename Row>
void add_row(const Row* from, float* to, int64_t dim) {
  with_widest_vectors([=]() LIME_INLINE { accumulate(to, from, dim); });
}

template void set_row(const float*, float*, int64_t);
template void set_row(const bf16*, float*, int64_t);
template void add_row(const float*, float*, int64_t);
template void add_row(const bf16*, float*, int64_t);

double row_sum_of_squares(const float* row, int64_t dim) {
  constexpr int64_t lanes = 8;
  double sums[lanes] = {};
  int64_t c = 0;
  for (; c + lanes <= dim; c += lanes) {
    for (int64_t k = 0; k < lanes; ++k) sums[k] += double{row[c + k]} * double{row[c + k]};
  }
  for (int64_t k = 0; c + k < dim; ++k) sums[k] += double{row[c + k]} * double{row[c + k]};
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace lime
