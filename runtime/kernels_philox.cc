// Rows of random numbers: as many Philox blocks at a time as a vector has 64-bit lanes; for normal ones, Box and Muller.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels_philox.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h, as Highway wants it.
#include "runtime/kernels_simd-inl.h"

#include <algorithm>
#include <cstring>
#include <numbers>
#include <span>

#include "runtime/philox.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu {
namespace HWY_NAMESPACE {

// Random bits to (0, 1): 24 bits and a half, so that the logarithm is finite.
HWY_INLINE Vec<float> open_uniform(Tag<float> d, hn::Vec<hn::RebindToUnsigned<Tag<float>>> bits) {
  const hn::RebindToSigned<Tag<float>> di;
  const auto whole = hn::ConvertTo(d, hn::BitCast(di, hn::ShiftRight<8>(bits)));
  return hn::MulAdd(whole, hn::Set(d, 0x1p-24f), hn::Set(d, 0x1p-25f));
}

#if HWY_TARGET != HWY_SCALAR
using BlockTag = hn::ScalableTag<uint64_t>;

// Words a, b, c, d of Philox blocks, one block a 64-bit lane, whose upper half is zero.
struct BlockVectors {
  hn::Vec<BlockTag> a, b, c, d;
};

// Blocks `first`, first + 1, ... of N streams. A block is one chain of products that wait for each other: N of them are
// under way at once.
template <int N>
HWY_INLINE void philox_blocks(uint64_t seed, const uint64_t* streams, uint64_t first, BlockVectors (&x)[N]) {
  const BlockTag d;
  const hn::Repartition<uint32_t, decltype(d)> d32;
  const auto low = hn::Set(d, 0xffffffffull);
  const auto position = hn::Iota(d, first);
  for (int i = 0; i < N; ++i)
    x[i] = {position, hn::ShiftRight<32>(position), hn::Set(d, streams[i]), hn::Set(d, streams[i] >> 32)};
  const auto multiplier_0 = hn::Set(d32, Philox::multiplier_0), multiplier_1 = hn::Set(d32, Philox::multiplier_1);
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < Philox::rounds; ++round) {
    const auto key_0 = hn::Set(d, uint64_t{k0}), key_1 = hn::Set(d, uint64_t{k1});
    for (int i = 0; i < N; ++i) {  // upper halves hold anything: a product does not read them
      const auto p0 = hn::MulEven(hn::BitCast(d32, x[i].a), multiplier_0),
                 p1 = hn::MulEven(hn::BitCast(d32, x[i].c), multiplier_1);
      x[i] = {hn::Xor(hn::ShiftRight<32>(p1), hn::Xor(x[i].b, key_0)), p1,
              hn::Xor(hn::ShiftRight<32>(p0), hn::Xor(x[i].d, key_1)), p0};
    }
    k0 += Philox::weyl_0, k1 += Philox::weyl_1;
  }
  for (int i = 0; i < N; ++i)
    x[i] = {hn::And(x[i].a, low), hn::And(x[i].b, low), hn::And(x[i].c, low), hn::And(x[i].d, low)};
}

// x[0], y[0], x[1], y[1], ...
HWY_INLINE void store_pairs(hn::Vec<BlockTag> x, hn::Vec<BlockTag> y, BlockTag d, uint64_t* to) {
#if HWY_MAJOR >= 1
  hn::StoreInterleaved2(x, y, d, to);
#else  // Ubuntu 22.04 has Highway 0.16
  HWY_ALIGN uint64_t xs[hn::MaxLanes(d)], ys[hn::MaxLanes(d)];
  hn::Store(x, d, xs);
  hn::Store(y, d, ys);
  for (size_t i = 0; i < hn::Lanes(d); ++i) {
    to[2 * i] = xs[i];
    to[2 * i + 1] = ys[i];
  }
#endif
}

// What a block's four words (a, b, c, d) become: x = (f(a, b), f(c, d)) by cosine, y the same by sine.
struct NormalVectors {
  Vec<float> x, y;
};

HWY_INLINE NormalVectors normal_blocks(uint64_t seed, uint64_t stream, uint64_t first) {
  const hn::Repartition<uint32_t, BlockTag> d32;
  const Tag<float> df;
  BlockVectors blocks[1];
  philox_blocks(seed, &stream, first, blocks);
  const BlockVectors& block = blocks[0];
  const auto radius_bits = hn::BitCast(d32, hn::Or(block.a, hn::ShiftLeft<32>(block.c)));
  const auto angle_bits = hn::BitCast(d32, hn::Or(block.b, hn::ShiftLeft<32>(block.d)));
  const auto log = hn::Log(df, open_uniform(df, radius_bits));
  const auto radius = hn::Sqrt(hn::Mul(hn::Set(df, -2.0f), log));
  const auto angle =
      hn::Mul(open_uniform(df, angle_bits), hn::Set(df, 2 * std::numbers::pi_v<float>));
  return {hn::Mul(radius, hn::Cos(df, angle)), hn::Mul(radius, hn::Sin(df, angle))};
}
#endif

void fill_normals(uint64_t seed, uint64_t stream, int64_t n, float deviation, float* out) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < n; ++i) out[i] = deviation * Philox(seed, stream).normal_f32(static_cast<uint64_t>(i));
#else
  const hn::ScalableTag<uint64_t> d;
  const Tag<float> df;
  const auto scale = hn::Set(df, deviation);
  const auto blocks = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN float rest[4 * hn::MaxLanes(d)];
  for (int64_t i = 0; i < n; i += 4 * blocks) {
    const NormalVectors v = normal_blocks(seed, stream, static_cast<uint64_t>(i / 4));
    float* to = i + 4 * blocks <= n ? out + i : rest;
    store_pairs(hn::BitCast(d, hn::Mul(scale, v.x)), hn::BitCast(d, hn::Mul(scale, v.y)), d,
                reinterpret_cast<uint64_t*>(to));
    if (to == rest) std::copy_n(rest, n - i, out + i);
  }
#endif
}

#if HWY_TARGET != HWY_SCALAR
// out[i * n ..]: of stream i.
template <int N>
HWY_INLINE void halves_of(uint64_t seed, const uint64_t* streams, uint64_t first, int64_t n, uint16_t* out) {
  const BlockTag d;
  const auto blocks = static_cast<int64_t>(hn::Lanes(d)), step = Philox::halves_of_block * blocks;
  HWY_ALIGN uint64_t pairs[2 * hn::MaxLanes(d)];
  for (int64_t c = 0; c < n; c += step, first += static_cast<uint64_t>(blocks)) {
    BlockVectors x[N];
    philox_blocks(seed, streams, first, x);
    for (int i = 0; i < N; ++i) {
      store_pairs(hn::Or(x[i].a, hn::ShiftLeft<32>(x[i].b)), hn::Or(x[i].c, hn::ShiftLeft<32>(x[i].d)), d,
                  pairs);
      std::memcpy(out + i * n + c, pairs, static_cast<size_t>(std::min(step, n - c)) * sizeof *out);
    }
  }
}
#endif

void fill_halves(uint64_t seed, std::span<const uint64_t> streams, uint64_t first, int64_t n, uint16_t* out) {
#if HWY_TARGET == HWY_SCALAR
  constexpr int64_t of_block = Philox::halves_of_block;
  for (const uint64_t stream : streams) {
    for (int64_t i = 0; i < n; ++i) {
      const auto block = Philox(seed, stream).block(first + static_cast<uint64_t>(i / of_block));
      *out++ = static_cast<uint16_t>(block[static_cast<size_t>(i % of_block / 2)] >> (i % 2 * 16));
    }
  }
#else
  constexpr size_t together = 4;
  size_t i = 0;
  for (; i + together <= streams.size(); i += together, out += static_cast<int64_t>(together) * n)
    halves_of<together>(seed, &streams[i], first, n, out);
  for (; i < streams.size(); ++i, out += n) halves_of<1>(seed, &streams[i], first, n, out);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace lime::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime {
namespace cpu {
HWY_EXPORT(fill_normals);
HWY_EXPORT(fill_halves);
}  // namespace cpu

void Philox::normals(int64_t n, float deviation, float* out) const {
  using namespace cpu;  // where the table of targets is
  HWY_DYNAMIC_DISPATCH(fill_normals)(seed_, stream_, n, deviation, out);
}

void Philox::halves(uint64_t seed, std::span<const uint64_t> streams, uint64_t first, int64_t n, uint16_t* out) {
  using namespace cpu;
  HWY_DYNAMIC_DISPATCH(fill_halves)(seed, streams, first, n, out);
}

}  // namespace lime
#endif
