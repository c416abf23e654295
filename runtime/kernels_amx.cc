#include "runtime/kernels_amx.h"

#include <atomic>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#define LIME_HAVE_AMX 1
#endif

#ifdef LIME_HAVE_AMX
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>

#include "runtime/host_memory.h"

// What is inlined must be compiled for the same instruction set as where it goes.
#define LIME_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl")))
#endif

namespace lime::cpu {

namespace {
std::atomic<bool> allowed = true;
}  // namespace

void allow_amx(bool yes) { allowed = yes; }
bool amx_in_use() { return allowed.load(std::memory_order_relaxed) && amx_available(); }

#ifdef LIME_HAVE_AMX
namespace {

// A tile register: 16 x 16 sums of f32; or 16 rows of 32 bf16 (of A), or 16 pairs of rows of 16 bf16 (of B).
constexpr int64_t tile = 16, tile_depth = 32;
constexpr int64_t tile_bytes = 1024, row_bytes = 64;
// Pieces that a number is the sum of.
template <typename T>
constexpr int pieces_of = sizeof(T) == 1 ? 1 : 3;
// Two tiles by two are summed up at once.
constexpr int64_t panel = 2 * tile;
// What is packed at a time: of B for the second-level cache, 32 columns of it for the first.
constexpr int64_t block_rows = 256, block_cols = 512, block_depth = 128;

// A or B in tiles: [length / 32][depth / 32][first or second half of 32][piece]. Its length is that of the
// product's rows or columns.
template <int pieces>
struct Packed {
  static constexpr int64_t panel_bytes = 2 * pieces * tile_bytes;  // of one depth of 32
  static constexpr int64_t bytes(int64_t length) {
    return length / panel * (block_depth / tile_depth) * panel_bytes;
  }

  std::byte* data;
  int64_t depths;                                             // depth / 32
  std::byte* at(int64_t i, int64_t k, int piece = 0) const {  // the tile of row (column) i and depth k
    return data + (i / panel * depths + k / tile_depth) * panel_bytes +
           (i % panel / tile * pieces + piece) * tile_bytes;
  }
};

// All tiles have 16 rows of 64 bytes.
struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// The next piece of x: rounded to bf16 in the upper half of each lane, and taken off x, without error.
// `exact`: bf16 holds what is left.
LIME_AMX inline __m512i split(__m512& x, bool exact) {
  if (exact) return _mm512_castps_si512(x);
  const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  const __m512i top = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), upper);
  x = _mm512_sub_ps(x, _mm512_castsi512_ps(top));
  return top;
}

LIME_AMX inline __mmask16 first(int64_t n) {
  return n >= 16 ? __mmask16{0xffff} : n <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << n) - 1);
}

// 16 x 16 lanes of 32 bits. (The masked forms of what needs no mask: GCC 12 warns of its own other ones.)
LIME_AMX void transpose(std::byte* in_place) {
  constexpr __mmask16 all = 0xffff;
  constexpr __mmask8 pairs = 0xff;
  __m512i r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(in_place + i * row_bytes);
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512i a = _mm512_maskz_unpacklo_epi32(all, r[i], r[i + 1]);
    const __m512i b = _mm512_maskz_unpackhi_epi32(all, r[i], r[i + 1]);
    const __m512i c = _mm512_maskz_unpacklo_epi32(all, r[i + 2], r[i + 3]);
    const __m512i d = _mm512_maskz_unpackhi_epi32(all, r[i + 2], r[i + 3]);
    t[i] = _mm512_maskz_unpacklo_epi64(pairs, a, c), t[i + 1] = _mm512_maskz_unpackhi_epi64(pairs, a, c);
    t[i + 2] = _mm512_maskz_unpacklo_epi64(pairs, b, d), t[i + 3] = _mm512_maskz_unpackhi_epi64(pairs, b, d);
  }
  const auto quarters = [](__m512i x, __m512i y, auto odd) LIME_AMX {
    return _mm512_maskz_shuffle_i32x4(all, x, y, decltype(odd)::value ? 0xdd : 0x88);
  };
  constexpr std::false_type even;
  constexpr std::true_type odd;
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {  // the quarter q of t[4 g + j] is column 4 q + j of rows 4 g .. 4 g + 3
    const __m512i a = quarters(t[j], t[4 + j], even), b = quarters(t[j], t[4 + j], odd);
    const __m512i c = quarters(t[8 + j], t[12 + j], even), d = quarters(t[8 + j], t[12 + j], odd);
    _mm512_store_si512(in_place + j * row_bytes, quarters(a, c, even));
    _mm512_store_si512(in_place + (4 + j) * row_bytes, quarters(b, d, even));
    _mm512_store_si512(in_place + (8 + j) * row_bytes, quarters(a, c, odd));
    _mm512_store_si512(in_place + (12 + j) * row_bytes, quarters(b, d, odd));
  }
}

LIME_AMX inline __m512 load(__mmask16 in, const float* p) { return _mm512_maskz_loadu_ps(in, p); }
LIME_AMX inline __m512 load(__mmask16 in, const int8_t* p) {
  return _mm512_maskz_cvtepi32_ps(in, _mm512_maskz_cvtepi8_epi32(in, _mm_maskz_loadu_epi8(in, p)));
}
template <typename T>
struct Operand {
  const T* data;
  int64_t stride, length, depth;
  bool depth_contiguous;  // element (i, k) at data[i * stride + k], else at data[k * stride + i]
  bool of_b;              // the order that its tiles have
};

// Of all pieces of a number, the last holds what is left as it is.
template <typename T>
constexpr int exact = pieces_of<T> - 1;

// Row i, its depth being contiguous; zeros beyond the operand's ends.
template <typename T, int pieces>
LIME_AMX void pack_row(const Operand<T>& x, int64_t i, const Packed<pieces>& to) {
  const __m512i upper_halves =
      _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21,
                       19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  const T* row = x.data + i * x.stride;
  for (int64_t k = 0; k < x.depth; k += tile_depth) {
    const int64_t left = i < x.length ? x.depth - k : 0;
    __m512 x0 = load(first(left), row + k), x1 = load(first(left - tile), row + k + tile);
    std::byte* at = to.at(i, k) + i % tile * row_bytes;
#pragma GCC unroll 3
    for (int p = 0; p < pieces; ++p, at += tile_bytes) {
      const __m512i top0 = split(x0, p == exact<T>), top1 = split(x1, p == exact<T>);
      _mm512_store_si512(at, _mm512_permutex2var_epi16(top0, upper_halves, top1));
    }
  }
}

// Depths k and k + 1, the length being contiguous; zeros beyond the operand's ends.
template <typename T, int pieces>
LIME_AMX void pack_pair(const Operand<T>& x, int64_t k, const Packed<pieces>& to) {
  const __m512i upper_halves =
      _mm512_set_epi16(63, 31, 61, 29, 59, 27, 57, 25, 55, 23, 53, 21, 51, 19, 49, 17, 47, 15, 45, 13, 43, 11,
                       41, 9, 39, 7, 37, 5, 35, 3, 33, 1);
  const T* row = x.data + k * x.stride;
  for (int64_t i = 0; i < x.length; i += tile) {
    const __mmask16 in = first(x.length - i);
    __m512 x0 = load(k < x.depth ? in : __mmask16{0}, row + i);
    __m512 x1 = load(k + 1 < x.depth ? in : __mmask16{0}, row + x.stride + i);
    std::byte* at = to.at(i, k) + k % tile_depth / 2 * row_bytes;
#pragma GCC unroll 3
    for (int p = 0; p < pieces; ++p, at += tile_bytes) {
      const __m512i top0 = split(x0, p == exact<T>), top1 = split(x1, p == exact<T>);
      _mm512_store_si512(at, _mm512_permutex2var_epi16(top0, upper_halves, top1));
    }
  }
}

template <typename T, int pieces>
LIME_AMX void pack(const Operand<T>& x, const Packed<pieces>& to) {
  const int64_t length = (x.length + tile - 1) / tile * tile, depth = to.depths * tile_depth;
  if (x.depth_contiguous) {
    for (int64_t i = 0; i < length; ++i) pack_row(x, i, to);
  } else {
    for (int64_t k = 0; k < depth; k += 2) pack_pair(x, k, to);
  }
  if (x.depth_contiguous == x.of_b) {
    for (int64_t i = 0; i < length; i += tile) {
      for (int64_t k = 0; k < depth; k += tile_depth) {
        for (int p = 0; p < pieces; ++p) transpose(to.at(i, k, p));
      }
    }
  }
}

// sums = c, and zeros beyond its ends.
LIME_AMX void begin_with(Matrix<const float> c, Matrix<float> sums) {
  for (int64_t i = 0; i < sums.rows; ++i)
    for (int64_t j = 0; j < sums.cols; j += tile)
      _mm512_store_ps(sums.row(i) + j, load(i < c.rows ? first(c.cols - j) : __mmask16{0}, c.row(i) + j));
}

// c = alpha sums + beta c, as far as there is c.
LIME_AMX void blend(Matrix<const float> sums, float alpha, float beta, Matrix<float> c) {
  for (int64_t i = 0; i < std::min(c.rows, sums.rows); ++i) {
    for (int64_t j = 0; j < sums.cols; j += tile) {
      const __mmask16 in = first(c.cols - j);
      float* at = c.row(i) + j;
      __m512 y = _mm512_mul_ps(_mm512_set1_ps(alpha), _mm512_load_ps(sums.row(i) + j));
      if (beta != 0) y = _mm512_fmadd_ps(_mm512_set1_ps(beta), _mm512_maskz_loadu_ps(in, at), y);
      _mm512_mask_storeu_ps(at, in, y);
    }
  }
}

// 16 or 32 rows by 16 or 32 columns of c from row i of A's block and column j of B's. Six of the nine
// products of pieces: what is left out is below f32's rounding.
//   a b ~ a0 b0 + (a0 b1 + a1 b0) + (a1 b1 + a2 b0 + a0 b2)
// Where A has one piece, and of B two were packed: a b0 + a b1.
template <bool two_rows, bool two_cols, int a_pieces, int b_pieces>
[[gnu::always_inline]] LIME_AMX inline void multiply(const Packed<a_pieces>& a, int64_t i,
                                                     const Packed<b_pieces>& b, int64_t j, float alpha,
                                                     float beta, Matrix<float> c) {
  constexpr int64_t rows = two_rows ? 2 * tile : tile, cols = two_cols ? 2 * tile : tile;
  // The sums begin with c where it is added to, also where tiles are cut: a row is rounded alike in either.
  const bool onto = alpha == 1 && beta == 1, plain = onto || (alpha == 1 && beta == 0);
  const bool direct = plain && c.rows >= rows && c.cols >= cols;
  alignas(64) float memory[rows * cols];
  const Matrix<float> sums = direct ? c : Matrix<float>{memory, rows, cols, cols};
  const auto sums_bytes = static_cast<size_t>(sums.stride) * sizeof(float);
  if (onto) {
    if (!direct) begin_with({c.data, c.rows, c.cols, c.stride}, sums);
    _tile_loadd(0, sums.data, sums_bytes);
    if constexpr (two_cols) _tile_loadd(1, sums.data + tile, sums_bytes);
    if constexpr (two_rows) _tile_loadd(2, sums.row(tile), sums_bytes);
    if constexpr (two_rows && two_cols) _tile_loadd(3, sums.row(tile) + tile, sums_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t d = 0; d < a.depths; ++d) {
    const std::byte* at = a.at(i, d * tile_depth);
    const std::byte* bt = b.at(j, d * tile_depth);
    const auto load_a = [&](int piece) LIME_AMX {
      _tile_loadd(4, at + piece * tile_bytes, row_bytes);
      if constexpr (two_rows) _tile_loadd(5, at + (a_pieces + piece) * tile_bytes, row_bytes);
    };
    const auto load_b = [&](int piece) LIME_AMX {
      _tile_loadd(6, bt + piece * tile_bytes, row_bytes);
      if constexpr (two_cols) _tile_loadd(7, bt + (b_pieces + piece) * tile_bytes, row_bytes);
    };
    const auto add_products = []() LIME_AMX {
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (two_cols) _tile_dpbf16ps(1, 4, 7);
      if constexpr (two_rows) _tile_dpbf16ps(2, 5, 6);
      if constexpr (two_rows && two_cols) _tile_dpbf16ps(3, 5, 7);
    };
    load_a(0), load_b(0), add_products();
    load_b(1), add_products();
    if constexpr (a_pieces == 3) {
      load_a(1), add_products();
      load_b(0), add_products();
      load_a(2), add_products();
      load_a(0), load_b(2), add_products();
    }
  }
  _tile_stored(0, sums.data, sums_bytes);
  if constexpr (two_cols) _tile_stored(1, sums.data + tile, sums_bytes);
  if constexpr (two_rows) _tile_stored(2, sums.row(tile), sums_bytes);
  if constexpr (two_rows && two_cols) _tile_stored(3, sums.row(tile) + tile, sums_bytes);
  if (!direct) blend({memory, rows, cols, cols}, alpha, onto ? 0 : beta, c);
}

template <int a_pieces, int b_pieces>
LIME_AMX void multiply_block(const Packed<a_pieces>& a, const Packed<b_pieces>& b, float alpha, float beta,
                             Matrix<float> c) {
  for (int64_t j = 0; j < c.cols; j += panel) {
    for (int64_t i = 0; i < c.rows; i += panel) {
      const Matrix<float> rest = {c.row(i) + j, c.rows - i, c.cols - j, c.stride};
      if (rest.rows > tile) {
        rest.cols > tile ? multiply<true, true>(a, i, b, j, alpha, beta, rest)
                         : multiply<true, false>(a, i, b, j, alpha, beta, rest);
      } else {
        rest.cols > tile ? multiply<false, true>(a, i, b, j, alpha, beta, rest)
                         : multiply<false, false>(a, i, b, j, alpha, beta, rest);
      }
    }
  }
}

// Of this thread; kept, as products come again.
template <int64_t bytes>
std::byte* scratch() {
  thread_local const std::shared_ptr<void> memory = allocate_host(static_cast<size_t>(bytes));
  return static_cast<std::byte*>(memory.get());
}

bool ask_for_tiles() {
  const char* wanted = std::getenv("LIME_AMX");
  if (wanted && std::strcmp(wanted, "0") == 0) return false;
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl")) return false;
  unsigned a = 0, b = 0, c = 0, d = 0;
  __cpuid_count(7, 0, a, b, c, d);
  constexpr unsigned bf16 = 1u << 22, tiles = 1u << 24;
  if ((d & bf16) == 0 || (d & tiles) == 0) return false;
  // The kernel saves tiles for programs that ask: ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA.
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

}  // namespace

bool amx_available() {
  static const bool available = ask_for_tiles();
  return available;
}

namespace {

template <int b_pieces, typename T>
LIME_AMX void multiply_all(bool ta, bool tb, float alpha, Matrix<const T> a, Matrix<const float> b,
                           float beta, Matrix<float> c) {
  using PackedA = Packed<pieces_of<T>>;
  using PackedB = Packed<b_pieces>;
  static constexpr TileConfig config;  // in memory: the compiler is told of the first bytes only
  _tile_loadconfig(&config);
  constexpr int64_t a_bytes = PackedA::bytes(block_rows), b_bytes = PackedB::bytes(block_cols);
  std::byte* const memory = scratch<a_bytes + b_bytes>();
  const int64_t depth = ta ? a.rows : a.cols;
  for (int64_t j = 0; j < c.cols; j += block_cols) {
    const int64_t cols = std::min(block_cols, c.cols - j);
    for (int64_t k = 0; k < depth; k += block_depth) {
      const int64_t steps = std::min(block_depth, depth - k), depths = (steps + tile_depth - 1) / tile_depth;
      const PackedA packed_a = {memory, depths};
      const PackedB packed_b = {memory + a_bytes, depths};
      pack(Operand<float>{tb ? b.row(j) + k : b.row(k) + j, b.stride, cols, steps, tb, true}, packed_b);
      for (int64_t i = 0; i < c.rows; i += block_rows) {
        const int64_t rows = std::min(block_rows, c.rows - i);
        pack(Operand<T>{ta ? a.row(k) + i : a.row(i) + k, a.stride, rows, steps, !ta, false}, packed_a);
        multiply_block(packed_a, packed_b, alpha, k == 0 ? beta : 1, {c.row(i) + j, rows, cols, c.stride});
      }
    }
  }
  _tile_release();
}

}  // namespace

void amx_gemm(bool ta, bool tb, float alpha, Matrix<const float> a, Matrix<const float> b, float beta,
              Matrix<float> c) {
  multiply_all<3>(ta, tb, alpha, a, b, beta, c);
}
void amx_gemm_i8(Matrix<const int8_t> a, Matrix<const float> b, Matrix<float> c) {
  multiply_all<2>(false, false, 1, a, b, 0, c);
}

#else

bool amx_available() { return false; }
void amx_gemm(bool, bool, float, Matrix<const float>, Matrix<const float>, float, Matrix<float>) {}
void amx_gemm_i8(Matrix<const int8_t>, Matrix<const float>, Matrix<float>) {}

#endif

}  // namespace lime::cpu
