// Where CUTLASS says that elements lie: its CuTe layouts as plain numbers. NVIDIA's own kernels run by them,
// so they are a second opinion on what runtime/cuda_kernel_mma.h and cuda_kernel_wgmma.h, and the emulator's
// version of both, say of tensor cores.
#pragma once

#include <cstdint>
#include <vector>

namespace lime::cutlass_layouts {

struct Element {
  int row = 0, column = 0;
};
// What each lane of a warp, or thread of a warpgroup, holds: element v of thread t is at [t * values + v].
struct Fragment {
  int values = 0;
  std::vector<Element> elements;
};

// Operands of mma.m16n8k16 of bf16 and of mma.m16n8k8 of tf32: a is 16 x k, b k x 8, d 16 x 8.
struct WarpProduct {
  int k = 0;
  Fragment a, b, d;
};
WarpProduct warp_product_bf16();
WarpProduct warp_product_tf32();

// a of wgmma.m64nNk16 in registers, and its d, 64 x n; n = 32 or 64.
Fragment warpgroup_a();
Fragment warpgroup_d(int n);

// ldmatrix.x4, and stmatrix.x4 in the other direction: four 8 x 8 matrices one above the other, of which lane
// l names row l. Eight 16-bit elements a lane.
Fragment matrices(bool transposed);

// An operand of wgmma in shared memory, as 64 rows of 64 or 128 bytes: `by_rows`, as runtime/cuda_kernel_wgmma.h
// has it, if the rows are what is summed over.
struct SharedMatrix {
  int rows = 0, columns = 0;
  std::vector<int> places;  // of element (r, c) at [r * columns + c], in elements
  int step_bytes = 0;       // from the 16 that are summed over to the next 16
};
SharedMatrix shared_matrix(bool by_rows, int row_bytes);
// Its descriptor, at address 0. (CUTLASS says on stdout that a host has no shared memory.)
uint64_t matrix_descriptor(bool by_rows, int row_bytes);

}  // namespace lime::cutlass_layouts
