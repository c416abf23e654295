// Position embedding. A position below the last has one row a request at most, the last has all the rest of a
// long history: its gradient is a sum over rows like a bias', those of the others are sums over requests.
#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

namespace {

constexpr int tile_cols = 32, tile_rows = 8;

struct History {
  const int64_t *offsets, *later;  // `later`: null where histories are whole
  int64_t segments, first;         // first row of the tile
  // Rows of the history behind the last one of segment b that is here.
  __device__ int64_t behind(int64_t b) const { return later ? later[b + 1] - later[b] : 0; }
  // From the most recent event backwards, clamped to `last`, of the tile's row r.
  __device__ int64_t position(int64_t r, int64_t last) const {
    const int64_t row = first + r, b = segment_of(offsets, segments, row);
    const int64_t distance = offsets[b + 1] - 1 - row + behind(b);
    return distance < last ? distance : last;
  }
};

template <typename T>
struct AddPositions {
  History history;
  Matrix<const T> table;
  Matrix<T> tokens;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    Compute<T> x[N], y[N];
    load(table.row(history.position(r, table.rows - 1)) + c, x);
    load(tokens.row(r) + c, y);
    for (int i = 0; i < N; ++i) y[i] += x[i];
    store(y, tokens.row(r) + c);
  }
};

History history_of(const Jagged& rows, const Jagged& later, int64_t first) {
  return {rows.device(), later.segments() > 0 ? later.device() : nullptr, rows.segments(), first};
}

// dtable[p] += the sum over requests of their row at position p < last: those of each thread in order, then
// the threads'.
template <typename T>
__global__ void recent_positions_kernel(History history, Matrix<const T> dtokens, Matrix<Compute<T>> dtable) {
  __shared__ Compute<T> of_thread[tile_rows][tile_cols];
  const int64_t c = int64_t{blockIdx.y} * tile_cols + threadIdx.x, p = blockIdx.x;
  Compute<T> sum = 0;
  for (int64_t b = threadIdx.y; b < history.segments; b += tile_rows) {
    const int64_t end = history.offsets[b + 1], row = end - 1 - p + history.behind(b),
                  r = row - history.first;
    if (c < dtokens.cols && row >= history.offsets[b] && row < end && r >= 0 && r < dtokens.rows)
      sum += to_compute(dtokens.row(r)[c]);
  }
  of_thread[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= dtokens.cols) return;
  Compute<T> total = 0;
  for (int t = 0; t < tile_rows; ++t) total += of_thread[t][threadIdx.x];
  dtable.row(p)[c] += total;
}

__global__ void mark_oldest_kernel(History history, int64_t rows, int64_t last, int64_t* oldest) {
  const int64_t r = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (r < rows) oldest[r] = history.position(r, last) == last;
}

template <int N, typename T>
struct OldestRows {
  const int64_t* oldest;
  Matrix<const T> dtokens;
  __device__ void operator()(int64_t r, int64_t c, Compute<T> (&sum)[1][N]) const {
    if (!oldest[r]) return;
    Compute<T> g[N];
    load(dtokens.row(r) + c, g);
    for (int i = 0; i < N; ++i) sum[0][i] += g[i];
  }
};

}  // namespace

void add_positions(Context& ctx, const ConstView& table, const Jagged& history, const Jagged& later,
                   int64_t first, View tokens) {
  with_row_type(tokens.dtype(), [&]<typename T>(T) {
    const AddPositions<T> add{history_of(history, later, first), matrix<const T>(table), matrix<T>(tokens)};
    each_pack<T>(ctx, "positions", add, {tokens, table});
  });
}

void add_positions_backward(Context& ctx, const ConstView& dtokens, const Jagged& history,
                            const Jagged& later, int64_t first, View dtable) {
  if (dtokens.empty()) return;
  const Arena::Scope scope(ctx.arena());
  const History where = history_of(history, later, first);
  const int64_t rows = dtokens.rows(), last = dtable.rows() - 1;
  auto* oldest = ctx.arena().alloc(DType::i64, 1, rows).data<int64_t>();
  launch(ctx, "positions", mark_oldest_kernel, dim3(divide_up(rows, 256)), dim3(256), 0, where, rows, last,
         oldest);
  with_row_type(dtokens.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    launch(ctx, "positions", recent_positions_kernel<T>,
           dim3(static_cast<uint32_t>(last), divide_up(dtokens.cols(), tile_cols)),
           dim3(tile_cols, tile_rows), 0, where, matrix<const T>(dtokens), matrix<A>(dtable));
    with_pack_width<T>({dtokens}, [&]<int N>() {
      column_sums_of_packs<1, N, A>(ctx, "positions", OldestRows<N, T>{oldest, matrix<const T>(dtokens)},
                                    rows, dtokens.cols(), true, {dtable.row<A>(last)});
    });
  });
}

}  // namespace lime::cuda
