#include "embeddings/device_rows_cuda.h"

namespace lime::cuda {

namespace {

// Whether an update drops the id's gradient.
__device__ bool goes_on_waiting(const TableOnDevice& table, int64_t id, int64_t place) {
  if (table.admit_after == 1 || is_row(place)) return false;
  place = find_place(table, id);  // another lookup's update may have been there in between
  return !is_row(place) && !is_admitted(place, table.admit_after);
}

__global__ void row_squares_kernel(DistinctView d, const TableOnDevice* tables, float* const* total,
                                   const int64_t* rows, double* squares) {
  const int64_t u = id_of_lane(distinct_count(d));
  const float* row = u >= 0 ? total[u] : nullptr;
  if (row && goes_on_waiting(tables[table_of(d, u)], d.ids[u], rows[u])) row = nullptr;
  const int64_t pitch = row ? tables[table_of(d, u)].pitch : 0;
  double square = 0;
  for (uint32_t k = 0; k < ids_of_group(blockDim.x); ++k) {
    const float* const from = from_lane(row, k);
    const int64_t end = from_lane(pitch, k);
    double sum = 0;
    for (int64_t c = threadIdx.x * pack; c < end; c += blockDim.x * pack) {
      float x[pack];
      load_row_pack(from + c, x);
      for (int i = 0; i < pack; ++i) sum += double{x[i]} * double{x[i]};
    }
    sum = group_sum(sum);
    if (threadIdx.x == k) square = sum;
  }
  if (u >= 0) squares[u] = square;
}

// The first distinct id at or behind a place; all lanes of a warp look, at 32 ids at a time.
__device__ int64_t first_at(const DistinctView& d, uint32_t place) {
  int64_t low = 0, high = distinct_count(d);
  while (low < high) {
    const int64_t step = (high - low + warp_size - 1) / warp_size, at = low + threadIdx.x * step;
    const int below = __popc(__ballot_sync(all_lanes, at < high && d.place[at] < place));
    if (below * step < high - low) high = low + below * step;
    if (below > 0) low += (below - 1) * step + 1;
  }
  return low;
}

// One warp a bucket: each lane adds every 32nd of its rows, then the lanes.
__global__ void bucket_kernel(DistinctView d, const double* squares, int64_t first_bucket,
                              int64_t most_buckets, double* sums) {
  const int64_t k = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (k >= d.tables * most_buckets) return;
  const int64_t bucket = first_bucket + k % most_buckets;
  double sum = 0;
  if (bucket < virtual_buckets) {
    const auto place = static_cast<uint32_t>(k / most_buckets * virtual_buckets + bucket);
    const int64_t end = first_at(d, place + 1);
    for (int64_t u = first_at(d, place) + threadIdx.x; u < end; u += warp_size) sum += squares[u];
  }
  sum = warp_sum(sum);
  if (threadIdx.x == 0) sums[k] = sum;
}

// One block, one thread a bucket: over the tables in order, then over the buckets by block_sum.
__global__ void __launch_bounds__(virtual_buckets)
    all_buckets_kernel(const double* sums, int64_t tables, int ranks, double* out) {
  const int64_t bucket = threadIdx.x, most = (virtual_buckets + ranks - 1) / ranks;
  const int64_t owner = bucket * ranks / virtual_buckets,
                first = (virtual_buckets * owner + ranks - 1) / ranks;
  double sum = 0;
  for (int64_t t = 0; t < tables; ++t) sum += sums[(owner * tables + t) * most + bucket - first];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *out = sum;
}

}  // namespace

void bucket_squares(Context& ctx, const DistinctView& d, const TableOnDevice* tables, int64_t widest,
                    float* const* total, const int64_t* rows, int64_t first_bucket, int64_t most_buckets,
                    double* sums) {
  const Arena::Scope scope(ctx.arena());
  auto* squares = ctx.arena().alloc(DType::f64, 1, d.most).data<double>();
  const dim3 block = row_block(widest);
  launch(ctx, "embedding gradient norm", row_squares_kernel, blocks_of_ids(d.most, block), block, 0, d,
         tables, total, rows, squares);
  constexpr int warps = row_threads / warp_size;
  launch(ctx, "embedding gradient norm", bucket_kernel, dim3(divide_up(d.tables * most_buckets, warps)),
         dim3(warp_size, warps), 0, d, squares, first_bucket, most_buckets, sums);
}

void add_bucket_squares(Context& ctx, const double* sums, int64_t tables, int ranks, double* out) {
  static_assert(virtual_buckets <= 1024 && virtual_buckets % warp_size == 0);
  launch(ctx, "embedding gradient norm", all_buckets_kernel, dim3(1), dim3(virtual_buckets), 0, sums, tables,
         ranks, out);
}

}  // namespace lime::cuda
