#include "runtime/philox.h"

#include <cmath>
#include <numbers>

namespace lime {

std::array<uint32_t, 4> Philox::block(uint64_t position) const {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32),
                               static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)};
  uint32_t k0 = static_cast<uint32_t>(seed_), k1 = static_cast<uint32_t>(seed_ >> 32);
  for (int round = 0; round < rounds; ++round) {
    const uint64_t p0 = uint64_t{multiplier_0} * c[0], p1 = uint64_t{multiplier_1} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += weyl_0, k1 += weyl_1;
  }
  return c;
}

uint64_t Philox::bits(uint64_t position) const {
  const auto b = block(position);
  return b[0] | uint64_t{b[1]} << 32;
}

double Philox::uniform(uint64_t position) const {
  return static_cast<double>(bits(position) >> 11) * 0x1p-53;
}

uint64_t Philox::below(uint64_t n, uint64_t position) const {
  // The high half of a 128-bit product: maps 2^64 values onto n without a division.
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(Wide{bits(position)} * n >> 64);
}

double Philox::normal(uint64_t position) const {
  // Box and Muller, one of the pair; 1 - u is in (0, 1], so that the logarithm is finite.
  const auto b = block(position);
  const double u = static_cast<double>((b[0] | uint64_t{b[1]} << 32) >> 11) * 0x1p-53;
  const double v = static_cast<double>((b[2] | uint64_t{b[3]} << 32) >> 11) * 0x1p-53;
  return std::sqrt(-2.0 * std::log(1.0 - u)) * std::cos(2.0 * std::numbers::pi * v);
}

float Philox::normal_f32(uint64_t position) const {
  // Words (0, 1) and (2, 3) of a block are pairs of Box and Muller; each gives two normals, cosines first.
  const auto b = block(position / 4);
  const size_t pair = position % 2, sine = position / 2 % 2;
  const auto open = [](uint32_t bits) { return static_cast<double>(bits >> 8) * 0x1p-24 + 0x1p-25; };
  const double radius = std::sqrt(-2.0 * std::log(open(b[2 * pair])));
  const double angle = 2.0 * std::numbers::pi * open(b[2 * pair + 1]);
  return static_cast<float>(radius * (sine ? std::sin(angle) : std::cos(angle)));
}

uint64_t stream_prefix(std::string_view purpose, uint64_t a) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a over the name, then one mix a key
  for (const char c : purpose) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix64(mix64(hash) ^ a);
}

uint64_t stream_of(std::string_view purpose, uint64_t a, uint64_t b) {
  return mix64(stream_prefix(purpose, a) ^ b);
}

}  // namespace lime
