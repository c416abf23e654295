// Item rows on the CPU: the attention weights of some rows at a time are brought into the caches, while the
// rows to come are on their way from memory, and multiplied; the rest of a row is read where it lies. Scales
// of i8 are applied to the product, not to what goes into it.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "layers/cpu_kernels.h"
#include "runtime/gemm_i8.h"
#include "runtime/primitives.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/item_rows_cpu.cc"
#include <hwy/foreach_target.h>

#include <hwy/cache_control.h>

#include "layers/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {
namespace {

using D = Tag<float>;
using Half = hn::Rebind<hwy::float16_t, D>;
using Byte = hn::Rebind<int8_t, D>;

// Scored at a time: what the second-level cache holds of weights and products, 128 columns of each.
constexpr int64_t tile_rows(size_t stored) { return stored == 1 ? 1024 : 256; }
constexpr int64_t ahead = 32;  // rows under way from memory
constexpr int64_t cache_line = 64;

// A vector of stored values as floats, before the scale.
HWY_INLINE Vec<float> load_stored(D d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE Vec<float> load_stored(D d, const hwy::float16_t* p) {
  return hn::PromoteTo(d, hn::LoadU(Half(), p));
}
HWY_INLINE Vec<float> load_stored(D d, const int8_t* p) {
  return hn::ConvertTo(d, hn::PromoteTo(hn::RebindToSigned<D>(), hn::LoadU(Byte(), p)));
}

// The first n values, the rest zero.
template <typename Stored>
HWY_INLINE Vec<float> load_stored_n(D d, const Stored* from, size_t n) {
  HWY_ALIGN Stored rest[hn::MaxLanes(d)] = {};  // nothing beyond the row may be read
  std::memcpy(rest, from, std::min(n, hn::MaxLanes(d)) * sizeof(Stored));
  return load_stored(d, rest);
}

template <typename Stored>
HWY_INLINE void decode(const Stored* from, int64_t n, float* to) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(load_stored(d, from + i), d, to + i);
  if (i >= n) return;
  const auto left = static_cast<size_t>(std::min(n - i, lanes));
  store_n<float>(load_stored_n(d, from + i, left), d, to + i, left);
}

HWY_INLINE void store(D d, Vec<float> v, float* to) { hn::StoreU(v, d, to); }
HWY_INLINE void store(D d, Vec<float> v, hwy::float16_t* to) {
  static_cast<void>(d);
  hn::StoreU(hn::DemoteTo(Half(), v), Half(), to);
}
HWY_INLINE void store(D d, Vec<float> v, int8_t* to) {
  static_cast<void>(d);
  hn::StoreU(hn::DemoteTo(Byte(), hn::NearestInt(v)), Byte(), to);
}

// to = slope * from, rounded to what is stored.
template <typename Stored>
HWY_INLINE void encode(const float* from, int64_t n, float slope, Stored* to) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto s = hn::Set(d, slope);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(d, hn::Mul(s, hn::LoadU(d, from + i)), to + i);
  if (i >= n) return;
  const auto left = static_cast<size_t>(std::min(n - i, lanes));
  HWY_ALIGN Stored rest[hn::MaxLanes(d)] = {};
  store(d, hn::Mul(s, load_n<float>(d, from + i, left)), rest);
  std::memcpy(to + i, rest, left * sizeof(Stored));
}

// Calls f with a null pointer of the type that rows are stored in.
template <typename F>
HWY_INLINE void for_type(RowType type, F&& f) {
  if (type == RowType::f32) return f(static_cast<const float*>(nullptr));
  if (type == RowType::f16) return f(static_cast<const hwy::float16_t*>(nullptr));
  f(static_cast<const int8_t*>(nullptr));
}

// Writes n values as i8 and returns their scale: 0 for values so small that it would not be a normal number.
float encode_scaled(const float* from, int64_t n, int8_t* to) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(from[i]));
  const float scale = largest / 127;
  const bool normal = scale >= std::numeric_limits<float>::min();
  encode(from, n, normal ? 1 / scale : 0.0f, to);
  return normal ? scale : 0.0f;
}

template <typename Stored>
struct StoredRows {
  explicit StoredRows(const ItemRows& rows)
      : values(static_cast<const Stored*>(rows.values)), columns(rows.columns()), scales(rows.scales) {}

  const Stored* row(int32_t r) const { return values + r * columns; }
  HWY_INLINE void prefetch(int32_t r) const {
    const auto* p = reinterpret_cast<const char*>(row(r));
    const auto bytes = columns * static_cast<int64_t>(sizeof(Stored));
    for (int64_t at = 0; at < bytes; at += cache_line) hwy::Prefetch(p + at);
    hwy::Prefetch(p + bytes - 1);
    if (scaled) hwy::Prefetch(scales + 2 * r);
  }

  static constexpr bool scaled = std::is_same_v<Stored, int8_t>;
  const Stored* values;
  int64_t columns;
  const float* scales;
};

// SiLU(scale[0] product + scale[1] share + base), row by row into `product`.
template <typename Stored>
HWY_INLINE void activate(const float* scale, const Stored* share, const float* base, int64_t hidden,
                         float* product) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto of_product = hn::Set(d, scale[0]), of_share = hn::Set(d, scale[1]);
  const auto value = [&](Vec<float> p, Vec<float> s, Vec<float> b) HWY_ATTR {
    const auto x = hn::MulAdd(of_product, p, hn::MulAdd(of_share, s, b));
    return hn::Mul(x, sigmoid<float>(d, x));
  };
  int64_t c = 0;
  for (; c + lanes <= hidden; c += lanes)
    hn::StoreU(value(hn::LoadU(d, product + c), load_stored(d, share + c), hn::LoadU(d, base + c)), d,
               product + c);
  if (c >= hidden) return;
  const auto n = static_cast<size_t>(hidden - c);
  store_n<float>(
      value(load_n<float>(d, product + c, n), load_stored_n(d, share + c, n), load_n<float>(d, base + c, n)),
      d, product + c, n);
}

// The attention weights of some rows, one after the other, as the product takes them.
template <typename Stored>
class WeightTile {
 public:
  WeightTile(Context& ctx, int64_t rows, int64_t weights)
      : weights_(weights), floats_(ctx.arena().alloc(DType::f32, rows, weights)) {}

  HWY_INLINE void set(int64_t i, const Stored* row) { decode(row, weights_, floats_.row<float>(i)); }
  void multiply(Context& ctx, const ConstView& mix, View product) const {
    gemm(ctx, Transpose::no, Transpose::no, 1, floats_.slice_rows(0, product.rows()), mix, 0, product);
  }

 private:
  int64_t weights_;
  View floats_;
};
template <>
class WeightTile<int8_t> {
 public:
  WeightTile(Context& ctx, int64_t rows, int64_t weights)
      : weights_(weights),
        bytes_(static_cast<int8_t*>(ctx.arena().alloc(DType::f32, 1, (rows * weights + 3) / 4).raw())) {}

  HWY_INLINE void set(int64_t i, const int8_t* row) {
    std::memcpy(bytes_ + i * weights_, row, static_cast<size_t>(weights_));
  }
  void multiply(Context& ctx, const ConstView& mix, View product) const {
    gemm_i8(ctx, bytes_, mix, product);
  }

 private:
  int64_t weights_;
  int8_t* bytes_;
};

}  // namespace

void encode_all(const ConstView& rows, int64_t weights, RowType type, void* values, float* scales) {
  const int64_t n = rows.cols();
  for_type(type, [&](auto* null) HWY_ATTR {
    using Stored = std::remove_cv_t<std::remove_pointer_t<decltype(null)>>;
    auto* to = static_cast<Stored*>(values);
    for (int64_t r = 0; r < rows.rows(); ++r, to += n) {
      const float* from = rows.row<float>(r);
      if constexpr (std::is_same_v<Stored, int8_t>) {
        scales[2 * r] = encode_scaled(from, weights, to);
        scales[2 * r + 1] = encode_scaled(from + weights, n - weights, to + weights);
      } else {
        encode(from, n, 1.0f, to);
      }
    }
  });
}

void decode_all(const ItemRows& rows, std::span<const int32_t> chosen, const View& out) {
  for_type(rows.type, [&](auto* null) HWY_ATTR {
    using Stored = std::remove_cv_t<std::remove_pointer_t<decltype(null)>>;
    const StoredRows<Stored> stored(rows);
    const auto count = static_cast<int64_t>(chosen.size());
    for (int64_t i = 0; i < count; ++i) {
      if (i + ahead < count) stored.prefetch(chosen[static_cast<size_t>(i + ahead)]);
      const int32_t r = chosen[static_cast<size_t>(i)];
      float* to = out.row<float>(i);
      decode(stored.row(r), rows.columns(), to);
      if constexpr (StoredRows<Stored>::scaled) {
        const float *scale = rows.scales + 2 * r, weight_scale = scale[0], share_scale = scale[1];
        for (int64_t c = 0; c < rows.weights; ++c) to[c] *= weight_scale;
        for (int64_t c = rows.weights; c < rows.columns(); ++c) to[c] *= share_scale;
      }
    }
  });
}

void score_all(Context& ctx, const ItemRows& rows, std::span<const int32_t> chosen,
               const RequestShare& request, const ScoreTail& tail, const View& logits) {
  const Arena::Scope scope(ctx.arena());
  const int64_t hidden = rows.hidden, tasks = tail.out.rows();
  const auto count = static_cast<int64_t>(chosen.size());
  const float* base = request.base.data<float>();
  const float* bias = tail.bias.data<float>();
  for_type(rows.type, [&](auto* null) HWY_ATTR {
    using Stored = std::remove_cv_t<std::remove_pointer_t<decltype(null)>>;
    const StoredRows<Stored> stored(rows);
    const int64_t most = std::min(tile_rows(sizeof(Stored)), count);
    const View product = ctx.alloc(most, hidden);
    WeightTile<Stored> tile(ctx, most, rows.weights);
    for (int64_t i = 0; i < std::min(ahead, count); ++i) stored.prefetch(chosen[static_cast<size_t>(i)]);
    for (int64_t first = 0; first < count; first += most) {
      const int64_t n = std::min(most, count - first);
      const int32_t* row = chosen.data() + first;
      for (int64_t i = 0; i < n; ++i) {
        if (first + i + ahead < count) stored.prefetch(row[i + ahead]);
        tile.set(i, stored.row(row[i]));
      }
      tile.multiply(ctx, request.mix, product.slice_rows(0, n));
      constexpr float unscaled[2] = {1, 1};
      for (int64_t i = 0; i < n; ++i) {
        float* active = product.row<float>(i);
        activate(StoredRows<Stored>::scaled ? rows.scales + 2 * row[i] : unscaled,
                 stored.row(row[i]) + rows.weights, base, hidden, active);
        float* out = logits.row<float>(first + i);
        for (int64_t t = 0; t < tasks; ++t)
          out[t] = bias[t] + hn::GetLane(sum_over<float>([](D, Vec<float> x, Vec<float> w)
                                                             HWY_ATTR { return hn::Mul(x, w); },
                                                         hidden, active, tail.out.row<float>(t)));
      }
    }
  });
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime::cpu {

HWY_EXPORT(encode_all);
HWY_EXPORT(decode_all);
HWY_EXPORT(score_all);

void encode_rows(const ConstView& rows, int64_t weights, RowType type, void* values, float* scales) {
  HWY_DYNAMIC_DISPATCH(encode_all)(rows, weights, type, values, scales);
}

void decode_rows(const ItemRows& rows, std::span<const int32_t> chosen, View out) {
  HWY_DYNAMIC_DISPATCH(decode_all)(rows, chosen, out);
}

void score_rows(Context& ctx, const ItemRows& rows, std::span<const int32_t> chosen,
                const RequestShare& request, const ScoreTail& tail, View logits) {
  HWY_DYNAMIC_DISPATCH(score_all)(ctx, rows, chosen, request, tail, logits);
}

}  // namespace lime::cpu
#endif  // HWY_ONCE
