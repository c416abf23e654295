// Tensor-core instructions, as kernels call them, with operands laid out as CUTLASS lays them out: on a GPU,
// or in the emulator, which so gets a second opinion. Registers and shared memory are filled by CUTLASS's
// tables on the host; kernels only run the instruction.
#include "runtime/cuda_kernel_wgmma.h"
#include "runtime/philox.h"
#include "tests/runtime/cutlass/layouts.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

using namespace cutlass_layouts;

// Small numbers of few bits: exact as bf16 and tf32, and so are their products' sums.
struct Matrix {
  Matrix(int rows_, int columns_, uint64_t seed) : rows(rows_), columns(columns_) {
    const Philox rng(seed, 1);
    for (int i = 0; i < rows * columns; ++i)
      values.push_back(static_cast<float>(rng.below(33, static_cast<uint64_t>(i))) / 8 - 2);
  }
  float at(int row, int column) const { return values[static_cast<size_t>(row * columns + column)]; }

  int rows, columns;
  std::vector<float> values;
};

// The registers of each thread in turn: one element each, or two 16-bit ones.
std::vector<uint32_t> registers(const Matrix& m, const Fragment& fragment, int bits, int first_column = 0) {
  std::vector<uint32_t> out;
  const auto at = [&](size_t i) {
    return m.at(fragment.elements[i].row, first_column + fragment.elements[i].column);
  };
  for (size_t i = 0; i < fragment.elements.size(); i += bits == 16 ? 2 : 1)
    out.push_back(bits == 16 ? to_bf16(at(i)).bits | static_cast<uint32_t>(to_bf16(at(i + 1)).bits) << 16
                             : std::bit_cast<uint32_t>(at(i)));
  return out;
}

void expect_product(const Matrix& a, const Matrix& b, const Fragment& fragment, const std::vector<float>& d) {
  ASSERT_EQ(d.size(), fragment.elements.size());
  for (size_t i = 0; i < d.size(); ++i) {
    const Element at = fragment.elements[i];
    float sum = 0;
    for (int k = 0; k < a.columns; ++k) sum += a.at(at.row, k) * b.at(k, at.column);
    ASSERT_EQ(d[i], sum) << "row " << at.row << ", column " << at.column;
  }
}

class Cutlass : public DeviceTest {
 protected:
  Cutlass() : DeviceTest({DeviceType::cuda, 0}) {}
  Tensor words(const std::vector<uint32_t>& x) {
    std::vector<int64_t> same(x.begin(), x.end());
    return to_device(ctx, same);
  }

  template <int width, bool a_held, bool a_by_rows, bool b_by_rows>
  void check_warpgroup();
};

template <bool tf32>
__global__ void warp_product_kernel(const int64_t* a, const int64_t* b, float* d) {
  uint32_t of_a[4], of_b[2];
  float of_d[4] = {};
  for (uint32_t i = 0; i < 4; ++i) of_a[i] = static_cast<uint32_t>(a[4 * threadIdx.x + i]);
  for (uint32_t i = 0; i < 2; ++i) of_b[i] = static_cast<uint32_t>(b[2 * threadIdx.x + i]);
  if constexpr (tf32) {
    mma_tf32(of_d, of_a, of_b);
  } else {
    mma_bf16(of_d, of_a, of_b);
  }
  for (uint32_t i = 0; i < 4; ++i) d[4 * threadIdx.x + i] = of_d[i];
}

TEST_F(Cutlass, WarpProducts) {
  for (const bool tf32 : {false, true}) {
    const WarpProduct at = tf32 ? warp_product_tf32() : warp_product_bf16();
    const Matrix a(16, at.k, 1), b(at.k, 8, 2);
    const Tensor on_a = words(registers(a, at.a, tf32 ? 32 : 16)),
                 on_b = words(registers(b, at.b, tf32 ? 32 : 16)), d(ctx.device(), DType::f32, 32, 4);
    launch(ctx, "warp_product", tf32 ? warp_product_kernel<true> : warp_product_kernel<false>, dim3(1),
           dim3(32), 0, on_a.view().data<int64_t>(), on_b.view().data<int64_t>(), d.view().data<float>());
    expect_product(a, b, at.d, to_host<float>(ctx, d.view()));
  }
}

// out: eight elements a lane of what ldmatrix reads of 32 x 8; with `back`, what stmatrix makes of them.
template <bool transposed, bool back>
__global__ void matrices_kernel(const int64_t* x, int64_t* out) {
  auto* rows = dynamic_shared<bf16>();  // 32 x 8
  const uint32_t lane = threadIdx.x;
  for (uint32_t i = 8 * lane; i < 8 * lane + 8; ++i) rows[i].bits = static_cast<uint16_t>(x[i]);
  __syncwarp();
  const SharedAddress row = shared_address(rows + 8 * lane);
  uint32_t r[4];
  if constexpr (back) {
    for (uint32_t i = 0; i < 4; ++i)
      r[i] = rows[8 * lane + 2 * i].bits | uint32_t{rows[8 * lane + 2 * i + 1].bits} << 16;
    __syncwarp();
    if constexpr (compiled_for_wgmma) stmatrix(row, r);
    __syncwarp();
    for (uint32_t i = 8 * lane; i < 8 * lane + 8; ++i) out[i] = rows[i].bits;
  } else {
    if constexpr (transposed) {
      ldmatrix_trans(r, row);
    } else {
      ldmatrix(r, row);
    }
    for (uint32_t i = 0; i < 8; ++i)
      out[8 * lane + i] = static_cast<int64_t>(r[i / 2] >> 16 * (i % 2) & 0xffff);
  }
}

TEST_F(Cutlass, MatricesFromAndToSharedMemory) {
  std::vector<int64_t> x(256);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int64_t>(i + 1);
  const Tensor from = to_device(ctx, x), out(ctx.device(), DType::i64, 32, 8);
  const auto run = [&](auto kernel) {
    launch(ctx, "matrices", kernel, dim3(1), dim3(32), 32 * 8 * sizeof(bf16), from.view().data<int64_t>(),
           out.view().data<int64_t>());
    return to_host<int64_t>(ctx, out.view());
  };
  for (const bool transposed : {false, true}) {
    const auto got = run(transposed ? matrices_kernel<true, false> : matrices_kernel<false, false>);
    const Fragment at = matrices(transposed);
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_EQ(got[i], 1 + 8 * at.elements[i].row + at.elements[i].column)
          << "transposed " << transposed << ", " << i;
  }
  if (!wgmma_in_use(ctx)) return;
  const auto stored = run(matrices_kernel<false, true>);
  const Fragment at = matrices(false);
  for (size_t i = 0; i < stored.size(); ++i)
    ASSERT_EQ(stored[static_cast<size_t>(8 * at.elements[i].row + at.elements[i].column)],
              static_cast<int64_t>(i + 1));
}

// d of one warpgroup. Shared memory: b, then a, as `b` and `a` have them; `held`: a's registers of each step.
template <int width, bool a_held, bool a_by_rows, bool b_by_rows>
__global__ void warpgroup_kernel(const bf16* a, int a_size, const bf16* b, int b_size, const int64_t* held,
                                 int a_step, int b_step, float* d) {
  constexpr int depth = b_by_rows ? 64 : width, n = b_by_rows ? width : 64, a_width = a_by_rows ? 64 : depth;
  if constexpr (compiled_for_wgmma) {
    auto* shared_b = dynamic_shared<bf16>();
    bf16* shared_a = shared_b + 64 * 64;
    const int thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < b_size; i += warpgroup_size) shared_b[i] = b[i];
    for (int i = thread; i < a_size; i += warpgroup_size) shared_a[i] = a[i];
    fence_for_products();
    __syncthreads();
    const MatrixDescriptor left = describe_matrix<2 * a_width>(shared_address(shared_a)),
                           right = describe_matrix<2 * width>(shared_address(shared_b));
    float of_d[n / 2];
    uint32_t of_a[depth / 16][4];
    for (int k = 0; k < depth / 16; ++k)
      for (int i = 0; i < 4; ++i)
        of_a[k][i] = static_cast<uint32_t>(held[(k * warpgroup_size + thread) * 4 + i]);
    products_begin(of_d, of_a);
    for (int k = 0; k < depth / 16; ++k) {
      if constexpr (a_held) {
        wgmma<b_by_rows>(of_d, of_a[k], right + k * b_step, k > 0);
      } else {
        wgmma<a_by_rows, b_by_rows>(of_d, left + k * a_step, right + k * b_step, k > 0);
      }
    }
    products_end(of_d, of_a);
    for (int i = 0; i < n / 2; ++i) d[thread * n / 2 + i] = of_d[i];
  }
}

// The matrix as it lies in shared memory. `transposed`: its rows are those of `at`'s columns.
std::vector<bf16> stored(const Matrix& m, const SharedMatrix& at, bool transposed) {
  std::vector<bf16> out(at.places.size());
  for (int r = 0; r < at.rows; ++r)
    for (int c = 0; c < at.columns; ++c)
      out[static_cast<size_t>(at.places[static_cast<size_t>(r * at.columns + c)])] =
          to_bf16(transposed ? m.at(c, r) : m.at(r, c));
  return out;
}

template <int width, bool a_held, bool a_by_rows, bool b_by_rows>
void Cutlass::check_warpgroup() {
  constexpr int depth = b_by_rows ? 64 : width, n = b_by_rows ? width : 64;
  const Matrix a(64, depth, 1), b(depth, n, 2);
  const SharedMatrix a_at = shared_matrix(a_by_rows, a_by_rows ? 128 : 2 * depth),
                     b_at = shared_matrix(b_by_rows, 2 * width);
  const Fragment d_at = warpgroup_d(n);
  std::vector<uint32_t> held;
  for (int k = 0; k < depth; k += 16) {
    const auto step = registers(a, warpgroup_a(), 16, k);
    held.insert(held.end(), step.begin(), step.end());
  }
  const std::vector<bf16> a_stored = stored(a, a_at, a_by_rows), b_stored = stored(b, b_at, !b_by_rows);
  const Tensor on_a = to_device(ctx, a_stored), on_b = to_device(ctx, b_stored), on_held = words(held),
               d(ctx.device(), DType::f32, warpgroup_size, n / 2);
  launch(ctx, "warpgroup", warpgroup_kernel<width, a_held, a_by_rows, b_by_rows>, dim3(1),
         dim3(warpgroup_size), 2 * 64 * 64 * sizeof(bf16), on_a.view().data<bf16>(),
         static_cast<int>(a_stored.size()), on_b.view().data<bf16>(), static_cast<int>(b_stored.size()),
         on_held.view().data<int64_t>(), a_at.step_bytes, b_at.step_bytes, d.view().data<float>());
  expect_product(a, b, d_at, to_host<float>(ctx, d.view()));
}

TEST_F(Cutlass, WarpgroupProducts) {
  if (!wgmma_in_use(ctx)) GTEST_SKIP() << "no products of warpgroups on this device";
  check_warpgroup<32, true, false, false>();
  check_warpgroup<64, true, false, false>();
  check_warpgroup<32, false, false, false>();
  check_warpgroup<64, false, false, false>();
  check_warpgroup<32, true, false, true>();
  check_warpgroup<64, true, false, true>();
  check_warpgroup<32, false, true, true>();
  check_warpgroup<64, false, true, true>();
}

// There is one group of 64 or 32 elements in the other direction, so the stride between groups (bits 16 - 29)
// is not read by the hardware.
TEST(CutlassDescriptor, HasOurBits) {
  constexpr uint64_t read = ~(uint64_t{0x3fff} << 16);
  for (const bool by_rows : {false, true}) {
    EXPECT_EQ(matrix_layout<64> & read, matrix_descriptor(by_rows, 64) & read);
    EXPECT_EQ(matrix_layout<128> & read, matrix_descriptor(by_rows, 128) & read);
  }
}

}  // namespace
}  // namespace lime::cuda
