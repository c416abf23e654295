#include "embeddings/device_rows_cuda.h"

namespace lime::cuda {

namespace {

__global__ void find_kernel(DistinctView d, const TableOnDevice* tables, int64_t* rows,
                            const void** address) {
  const int64_t u = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (u >= d.most || u >= distinct_count(d)) return;
  const TableOnDevice& table = tables[table_of(d, u)];
  const int64_t row = find_place(table, d.ids[u]);
  rows[u] = row;
  if (address) address[u] = is_row(row) ? values_of(table, place_of_row(table, row)) : nullptr;
}

// Row: of the table's rows, float or bf16.
template <typename Row>
struct Source {
  const int32_t* distinct_of;  // of the feature's occurrences
  const int64_t* ids;
  const void* const* address;
  TableOnDevice table;

  __device__ __forceinline__ const Row* row(int32_t u) const {
    return u < 0 ? nullptr : static_cast<const Row*>(address[u]);
  }
  // Columns c to c + 3 of a distinct id's row.
  __device__ __forceinline__ void load(int32_t u, int64_t c, float (&x)[pack]) const {
    if (u < 0) {
      for (int i = 0; i < pack; ++i) x[i] = 0;
    } else if (const Row* there = row(u)) {
      load_row_pack(there + c, x);
    } else {
      initial_values(table, ids[u], c, x);
    }
  }
};

template <bool packs, typename T>
__device__ __forceinline__ void put(const Compute<T> (&x)[pack], int64_t c, int64_t cols, T* row) {
  if constexpr (packs) {
    // 16 bytes at a time at most.
    constexpr int width = sizeof(T) * pack > 16 ? pack / 2 : pack;
#pragma unroll
    for (int from = 0; from < pack; from += width) {
      Pack<T, width> v;
#pragma unroll
      for (int i = 0; i < width; ++i) v.at[i] = from_compute<T>(x[from + i]);
      store_pack(row + c + from, v);
    }
  } else {
    for (int i = 0; i < pack; ++i)
      if (c + i < cols) row[c + i] = from_compute<T>(x[i]);
  }
}

constexpr int rows_at_once = 4;  // of a group: their loads are under way together

template <bool packs, typename Row, typename T>
__global__ void gather_kernel(Source<Row> source, Matrix<T> out) {
  const int64_t first = (int64_t{blockIdx.x} * blockDim.y + threadIdx.y) * rows_at_once;
  int32_t u[rows_at_once];
  const Row* row[rows_at_once];
#pragma unroll
  for (int k = 0; k < rows_at_once; ++k) u[k] = first + k < out.rows ? source.distinct_of[first + k] : -1;
#pragma unroll
  for (int k = 0; k < rows_at_once; ++k) row[k] = source.row(u[k]);
  for (int64_t c = threadIdx.x * pack; c < out.cols; c += blockDim.x * pack) {
    float x[rows_at_once][pack] = {};
#pragma unroll
    for (int k = 0; k < rows_at_once; ++k)
      if (row[k]) load_row_pack(row[k] + c, x[k]);
#pragma unroll
    for (int k = 0; k < rows_at_once; ++k)
      if (!row[k] && u[k] >= 0) initial_values(source.table, source.ids[u[k]], c, x[k]);
#pragma unroll
    for (int k = 0; k < rows_at_once; ++k) {
      if (first + k >= out.rows) break;
      Compute<T> y[pack];
#pragma unroll
      for (int i = 0; i < pack; ++i) y[i] = x[k][i];
      put<packs>(y, c, out.cols, out.row(first + k));
    }
  }
}

template <bool packs, typename Row, typename T>
__global__ void gather_pooled_kernel(Source<Row> source, const int64_t* offsets, bool mean, Matrix<T> out) {
  const int64_t r = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (r >= out.rows) return;
  const int64_t begin = offsets[r], end = offsets[r + 1];
  for (int64_t c = threadIdx.x * pack; c < out.cols; c += blockDim.x * pack) {
    Compute<T> sum[pack] = {};
    int64_t n = 0;
    for (int64_t o = begin; o < end; ++o) {
      const int32_t u = source.distinct_of[o];
      if (u < 0) continue;
      float x[pack];
      source.load(u, c, x);
      for (int i = 0; i < pack; ++i) sum[i] += x[i];
      ++n;
    }
    if (mean && n > 1) {
      const Compute<T> share = Compute<T>(1) / static_cast<Compute<T>>(n);
      for (int i = 0; i < pack; ++i) sum[i] *= share;
    }
    put<packs>(sum, c, out.cols, out.row(r));
  }
}

template <bool packs, typename T, typename Row>
void gather(Context& ctx, const DeviceFeature& f, const Source<Row>& source, const View& out) {
  const dim3 block = row_block(out.cols());
  if (f.offsets) {
    launch(ctx, "embedding gather", gather_pooled_kernel<packs, Row, T>, dim3(divide_up(out.rows(), block.y)),
           block, 0, source, f.offsets, f.mean, matrix<T>(out));
  } else {
    launch(ctx, "embedding gather", gather_kernel<packs, Row, T>,
           dim3(divide_up(out.rows(), block.y * rows_at_once)), block, 0, source, matrix<T>(out));
  }
}

}  // namespace

void find_rows(Context& ctx, const DistinctView& d, const TableOnDevice* tables, int64_t* rows,
               const void** address) {
  launch(ctx, "embedding rows", find_kernel, dim3(divide_up(d.most, row_threads)), dim3(row_threads), 0, d,
         tables, rows, address);
}

void gather_rows(Context& ctx, const DeviceFeature& f, const DeviceDistinct& distinct,
                 const TableOnDevice& table, const void* const* address, View out) {
  const auto from = [&]<typename Row>(Row) {
    const Source<Row> source{distinct.distinct_of.data() + f.first, distinct.ids.data(), address, table};
    with_row_type(out.dtype(), [&]<typename T>(T) {
      in_packs(out) ? gather<true, T>(ctx, f, source, out) : gather<false, T>(ctx, f, source, out);
    });
  };
  table.type == DType::bf16 ? from(bf16{}) : from(float{});
}

}  // namespace lime::cuda
