// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
// A number is a function of (seed, stream, position): there is no state to save, and what a row, parameter or window
// is given does not depend on who asks, when, or in which order. Same on every platform for integers; normals go
// through the C library's log and cos.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace lime {

class Philox {
 public:
  // `stream` names the purpose (see stream_of); 2^64 streams of 2^64 positions each.
  Philox(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  std::array<uint32_t, 4> block(uint64_t position) const;
  uint64_t bits(uint64_t position) const;              // 64 random bits
  double uniform(uint64_t position) const;             // [0, 1), 53 bits
  uint64_t below(uint64_t n, uint64_t position) const; // [0, n), n > 0 (bias < 2^-64 * n)
  double normal(uint64_t position) const;              // mean 0, variance 1
  // Normals 0 .. n-1 of another sequence, f32 and four a block, times `deviation`: for rows by the million. Position by
  // position they are normal_f32's, up to the rounding of the processor's vector instructions.
  void normals(int64_t n, float deviation, float* out) const;
  float normal_f32(uint64_t position) const;
  // Numbers of 16 random bits, n of each stream, one stream after the other: of a stream the i-th is half i % 8 of block
  // first + i / 8, the lower half of a word before the upper. The same on every processor.
  static constexpr int64_t halves_of_block = 8;
  static void halves(uint64_t seed, std::span<const uint64_t> streams, uint64_t first, int64_t n, uint16_t* out);

  // Philox4x32-10's constants (section 4 of the paper), for vector and device versions of block().
  static constexpr int rounds = 10;
  static constexpr uint32_t multiplier_0 = 0xD2511F53, multiplier_1 = 0xCD9E8D57;
  static constexpr uint32_t weyl_0 = 0x9E3779B9, weyl_1 = 0xBB67AE85;

 private:
  uint64_t seed_, stream_;
};

// A stream number from a purpose's name and up to two further keys (a table's index and an id, an epoch and a shard).
uint64_t stream_of(std::string_view purpose, uint64_t a = 0, uint64_t b = 0);
// stream_of(purpose, a, b) is mix64(stream_prefix(purpose, a) ^ b): for kernels, which draw of many b.
uint64_t stream_prefix(std::string_view purpose, uint64_t a);

// A fixed 64-bit mix (splitmix64's finaliser): for hashing ids to buckets, the same on every platform and version.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace lime
