#include "tests/runtime/cutlass/layouts.h"

#include <cute/atom/copy_traits_sm75.hpp>
#include <cute/atom/copy_traits_sm90.hpp>
#include <cute/atom/mma_traits_sm80.hpp>
#include <cute/atom/mma_traits_sm90_gmma.hpp>
#include <cute/tensor.hpp>

namespace lime::cutlass_layouts {
namespace {

using cute::_16, cute::_32, cute::_64;
using cute::bfloat16_t;
namespace gmma = cute::SM90::GMMA;

// CuTe numbers the elements of an operand down its columns.
template <typename Layout>
Fragment fragment(const Layout& layout, int rows) {
  const int threads = cute::size<0>(layout), values = cute::size<1>(layout);
  Fragment out{values, {}};
  for (int t = 0; t < threads; ++t)
    for (int v = 0; v < values; ++v) {
      const int at = layout(t, v);
      out.elements.push_back({at % rows, at / rows});
    }
  return out;
}

// CuTe's b is n x k.
Fragment transposed(Fragment f) {
  for (Element& e : f.elements) std::swap(e.row, e.column);
  return f;
}

template <typename Instruction>
WarpProduct warp_product() {
  using Traits = cute::MMA_Traits<Instruction>;
  return {cute::size<2>(typename Traits::Shape_MNK{}), fragment(typename Traits::ALayout{}, 16),
          transposed(fragment(typename Traits::BLayout{}, 8)), fragment(typename Traits::CLayout{}, 16)};
}

template <typename Instruction>
Fragment loaded() {
  const auto layout = typename cute::Copy_Traits<Instruction>::DstLayout{};  // (lane, bit) -> bit
  Fragment out{8, {}};
  for (int lane = 0; lane < 32; ++lane)
    for (int v = 0; v < 8; ++v) {
      const int element = layout(lane, 16 * v) / 16;
      out.elements.push_back({element / 8, element % 8});
    }
  return out;
}

// A matrix of bf16 in shared memory: `atom` tiled over `others` x `summed` elements.
template <gmma::Major direction, typename Atom, typename Others, typename Summed>
struct Operand {
  static constexpr gmma::Major major = direction;
  alignas(1024) inline static bfloat16_t memory[64 * 64];

  auto tensor() const {
    return cute::make_tensor(cute::make_smem_ptr(memory),
                             cute::tile_to_shape(Atom{}, cute::make_shape(Others{}, Summed{})));
  }
  auto first_step() const {
    return cute::local_tile(tensor(), cute::make_shape(Others{}, _16{}), cute::make_coord(0, 0));
  }
};

template <typename Function>
auto with_operand(bool by_rows, int row_bytes, Function f) {
  constexpr auto k = gmma::Major::K, mn = gmma::Major::MN;
  if (row_bytes == 64)
    return by_rows ? f(Operand<mn, gmma::Layout_MN_SW64_Atom<bfloat16_t>, _32, _64>{})
                   : f(Operand<k, gmma::Layout_K_SW64_Atom<bfloat16_t>, _64, _32>{});
  return by_rows ? f(Operand<mn, gmma::Layout_MN_SW128_Atom<bfloat16_t>, _64, _64>{})
                 : f(Operand<k, gmma::Layout_K_SW128_Atom<bfloat16_t>, _64, _64>{});
}

}  // namespace

WarpProduct warp_product_bf16() { return warp_product<cute::SM80_16x8x16_F32BF16BF16F32_TN>(); }
WarpProduct warp_product_tf32() { return warp_product<cute::SM80_16x8x8_F32TF32TF32F32_TN>(); }

Fragment warpgroup_a() { return fragment(gmma::ALayout_64x16{}, 64); }
Fragment warpgroup_d(int n) {
  return n == 32 ? fragment(gmma::CLayout_64x32{}, 64) : fragment(gmma::CLayout_64x64{}, 64);
}

Fragment matrices(bool transposed) {
  return transposed ? loaded<cute::SM75_U16x8_LDSM_T>() : loaded<cute::SM75_U32x4_LDSM_N>();
}

SharedMatrix shared_matrix(bool by_rows, int row_bytes) {
  return with_operand(by_rows, row_bytes, [&](auto operand) {
    const auto x = operand.tensor();
    const int others = cute::size<0>(x), summed = cute::size<1>(x);
    SharedMatrix out{by_rows ? summed : others, by_rows ? others : summed, {}, 0};
    for (int r = 0; r < out.rows; ++r)
      for (int c = 0; c < out.columns; ++c)
        out.places.push_back(static_cast<int>((by_rows ? &x(c, r) : &x(r, c)) - operand.memory));
    out.step_bytes = static_cast<int>(x.layout()(0, 16) * sizeof(bfloat16_t));
    return out;
  });
}

uint64_t matrix_descriptor(bool by_rows, int row_bytes) {
  return with_operand(by_rows, row_bytes, [](auto operand) {
    return uint64_t{gmma::make_gmma_desc<decltype(operand)::major>(operand.first_step())};
  });
}

}  // namespace lime::cutlass_layouts
