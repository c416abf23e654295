// Rows of random numbers: as many Philox blocks at a time as a vector has 64-bit lanes; for normal ones, Box and Muller.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels_philox.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h, as Highway wants it.
#include "runtime/kernels_simd-inl.h"

#include <algorithm>
#include <cstring>
#include <numbers>

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

// Blocks `first`, first + 1, ... of the stream.
HWY_INLINE BlockVectors philox_blocks(uint64_t seed, uint64_t stream, uint64_t first) {
  const BlockTag d;
  const hn::Repartition<uint32_t, decltype(d)> d32;
  const auto low = hn::Set(d, 0xffffffffull);
  const auto product = [&](auto a, uint32_t b) HWY_ATTR {
    return hn::MulEven(hn::BitCast(d32, a), hn::Set(d32, b));
  };
  const auto position = hn::Iota(d, first);
  auto c0 = hn::And(position, low), c1 = hn::ShiftRight<32>(position);
  auto c2 = hn::Set(d, stream & 0xffffffffull), c3 = hn::Set(d, stream >> 32);
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < Philox::rounds; ++round) {
    const auto p0 = product(c0, Philox::multiplier_0), p1 = product(c2, Philox::multiplier_1);
    c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(d, uint64_t{k0}));
    c1 = hn::And(p1, low);
    c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(d, uint64_t{k1}));
    c3 = hn::And(p0, low);
    k0 += Philox::weyl_0, k1 += Philox::weyl_1;
  }
  return {c0, c1, c2, c3};
}

// What a block's four words (a, b, c, d) become: x = (f(a, b), f(c, d)) by cosine, y the same by sine.
struct NormalVectors {
  Vec<float> x, y;
};

HWY_INLINE NormalVectors normal_blocks(uint64_t seed, uint64_t stream, uint64_t first) {
  const hn::Repartition<uint32_t, BlockTag> d32;
  const Tag<float> df;
  const BlockVectors block = philox_blocks(seed, stream, first);
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
    hn::StoreInterleaved2(hn::BitCast(d, hn::Mul(scale, v.x)), hn::BitCast(d, hn::Mul(scale, v.y)), d,
                          reinterpret_cast<uint64_t*>(to));
    if (to == rest) std::copy_n(rest, n - i, out + i);
  }
#endif
}

void fill_halves(uint64_t seed, uint64_t stream, uint64_t first, int64_t n, uint16_t* out) {
  constexpr int64_t of_block = Philox::halves_of_block;
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < n; ++i) {
    const auto block = Philox(seed, stream).block(first + static_cast<uint64_t>(i / of_block));
    out[i] = static_cast<uint16_t>(block[static_cast<size_t>(i % of_block / 2)] >> (i % 2 * 16));
  }
#else
  const BlockTag d;
  const auto blocks = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN uint64_t pairs[2 * hn::MaxLanes(d)];
  for (int64_t i = 0; i < n; i += of_block * blocks, first += static_cast<uint64_t>(blocks)) {
    const BlockVectors block = philox_blocks(seed, stream, first);
    hn::StoreInterleaved2(hn::Or(block.a, hn::ShiftLeft<32>(block.b)),
                          hn::Or(block.c, hn::ShiftLeft<32>(block.d)), d, pairs);
    std::memcpy(out + i, pairs, static_cast<size_t>(std::min(of_block * blocks, n - i)) * sizeof *out);
  }
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

void Philox::halves(uint64_t first, int64_t n, uint16_t* out) const {
  using namespace cpu;
  HWY_DYNAMIC_DISPATCH(fill_halves)(seed_, stream_, first, n, out);
}

}  // namespace lime
#endif
