// What the warpgroup products of runtime/cuda_kernel_wgmma.h do in emulated kernels: results come with the
// wait; until then their registers are NaN, and so are those that they read. A product that nothing fenced is
// a fault, one that reads what copy_async or stmatrix has stored and nothing fenced since, and one that not
// all warps of the warpgroup issue. Each warp computes its 16 rows, which is all that it gets of a product.
#pragma once

#include "runtime/emulator/warp.h"

namespace lime::emulator {

// Rows of `row_bytes`, swizzled in pieces of 16 bytes by the bits of their addresses.
struct MatrixDescriptor {
  uintptr_t first = 0;
  int row_bytes = 0;

  MatrixDescriptor operator+(int bytes) const { return {first + static_cast<uintptr_t>(bytes), row_bytes}; }
  const uint16_t* address_of(int64_t row, int64_t column) const {
    const uintptr_t address = first + static_cast<uintptr_t>(row * row_bytes + 2 * column);
    // 128 bytes: bits 4 - 6 by bits 7 - 9; 64 bytes: bits 4, 5 by bits 7, 8.
    const uintptr_t place = address ^ (address >> 3 & (row_bytes == 128 ? 0x70u : 0x30u));
    return reinterpret_cast<const uint16_t*>(place);
  }
  float at(int64_t row, int64_t column) const { return half_of(*address_of(row, column), 0); }
};

struct Wgmma {
  const uint32_t* a;  // null: in shared memory
  MatrixDescriptor a_shared, b;
  uint32_t warp;  // of the warpgroup
  float results[32];
};

template <int n, bool a_by_rows, bool b_by_rows>
void wgmma(float* d, const uint32_t* a, MatrixDescriptor a_shared, MatrixDescriptor b, bool add,
           Place place) {
  begin_product(place);
  const auto check = [&](const MatrixDescriptor& m, bool by_rows, int others) {
    if (m.first % 16 != 0) fault("a matrix of a product that is not 16-byte aligned", place);
    if (lane() != 0) return;
    check_stores(m.first, static_cast<size_t>(m.row_bytes * (by_rows ? 16 : others)), place);
    const int rows = by_rows ? 16 : others, columns = by_rows ? others : 16;
    for (int row = 0; row < rows; ++row)
      for (int column = 0; column < columns; column += 8) note_operand(m.address_of(row, column), 16, place);
  };
  check(b, b_by_rows, n);
  if (!a) check(a_shared, a_by_rows, 64);
  const auto* const held = static_cast<const uint32_t*>(a ? values_of(a) : nullptr);
  Wgmma mine{held, a_shared, b, threadIdx.x / warp_lanes % 4, {}};
  warp_operation(
      0xffffffffu, &mine,
      [](void* const* all) {
        const auto at = [&](uint32_t l) { return static_cast<Wgmma*>(all[l]); };
        const auto a_at = [&](uint32_t row, uint32_t k) {
          const Wgmma& w = *at(row % 8 * 4 + k % 8 / 2);
          if (w.a) return half_of(w.a[row / 8 + k / 8 * 2], k % 2);
          const uint32_t of_group = 16 * w.warp + row;
          return a_by_rows ? w.a_shared.at(k, of_group) : w.a_shared.at(of_group, k);
        };
        float left[16][16], right[16][n];
        for (uint32_t k = 0; k < 16; ++k) {
          for (uint32_t row = 0; row < 16; ++row) left[row][k] = a_at(row, k);
          for (uint32_t col = 0; col < n; ++col)
            right[k][col] = b_by_rows ? at(0)->b.at(k, col) : at(0)->b.at(col, k);
        }
        for (uint32_t l = 0; l < warp_lanes; ++l) {
          for (uint32_t i = 0; i < n / 2; ++i) {
            const uint32_t row = l / 4 + i / 2 % 2 * 8, col = i / 4 * 8 + l % 4 * 2 + i % 2;
            double sum = 0;
            for (uint32_t k = 0; k < 16; ++k) sum += double{left[row][k]} * right[k][col];
            at(l)->results[i] = static_cast<float>(sum);
          }
        }
      },
      place);
  float before[n / 2] = {};
  if (add) std::memcpy(before, values_of(d), sizeof(before));
  for (int i = 0; i < n / 2; ++i) mine.results[i] += before[i];
  lend_registers(d, mine.results, n / 2);
  if (a) lend_registers(const_cast<uint32_t*>(a), held, 4);
}

struct StoreMatrix {
  uint16_t* row;
  const uint32_t* registers;
  Place place;
};

// Lane l names row l % 8 of matrix l / 8, and gives of each 8 x 8 matrix two neighbours of row l / 4.
inline void store_matrices(const uint32_t* registers, void* row, Place place) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
    fault("stmatrix to a row that is not 16-byte aligned", place);
  StoreMatrix mine{static_cast<uint16_t*>(row), registers, place};
  warp_operation(
      0xffffffffu, &mine,
      [](void* const* all) {
        for (uint32_t l = 0; l < warp_lanes; ++l) {
          for (uint32_t m = 0; m < 4; ++m) {
            const uint32_t pair = static_cast<const StoreMatrix*>(all[l])->registers[m];
            uint16_t* to = static_cast<const StoreMatrix*>(all[m * 8 + l / 4])->row + l % 4 * 2;
            race::note_write_of(l, to, 4, static_cast<const StoreMatrix*>(all[l])->place);
            to[0] = static_cast<uint16_t>(pair), to[1] = static_cast<uint16_t>(pair >> 16);
          }
        }
      },
      place);
  note_store(row, 16);
}

}  // namespace lime::emulator
