#include "embeddings/device_rows_cuda.h"

namespace lime::cuda {

namespace {

// The place of a wanted id in what is asked.
struct AskedPlace {
  int64_t pair, within;
};
__device__ AskedPlace asked_place(const DistinctView& d, int64_t u) {
  const int64_t pair = segment_of(d.begins, d.tables * d.owners, u);
  return {pair, u - d.begins[pair]};
}

__global__ void place_ids_kernel(DistinctView d, RequestPlaces places, int64_t* asked_ids) {
  const int64_t u = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (u >= distinct_count(d)) return;
  const auto [pair, within] = asked_place(d, u);
  asked_ids[places.asked_id[pair] + within] = d.ids[u];
}

__global__ void place_rows_kernel(DistinctView d, const TableOnDevice* tables, RequestPlaces places,
                                  const float* rows, const void** address) {
  const int64_t u = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (u >= distinct_count(d)) return;
  const auto [pair, within] = asked_place(d, u);
  address[u] = rows + places.asked_row[pair] + within * tables[table_of(d, u)].message_width;
}

__global__ void pack_kernel(DistinctView d, const TableOnDevice* tables, RequestPlaces places,
                            float* const* total, float* sent, float* present) {
  const int64_t u = id_of_lane(distinct_count(d));
  int64_t pitch = 0, place = 0;
  const float* gradient = nullptr;
  if (u >= 0) {
    pitch = tables[table_of(d, u)].pitch;
    gradient = total[u];
    const auto [pair, within] = asked_place(d, u);
    place = places.asked_gradient[pair] + within * pitch;
    present[places.asked_id[pair] + within] = gradient ? 1 : 0;
  }
#pragma unroll 1
  for (uint32_t k = 0; k < ids_of_group(blockDim.x); ++k) {
    const float* const from = from_lane(gradient, k);
    float* const to = sent + from_lane(place, k);
    const int64_t end = from_lane(pitch, k);
    for (int64_t c = threadIdx.x * pack; c < end; c += blockDim.x * pack) {
      float x[pack] = {};
      if (from) load_row_pack(from + c, x);
      store_row_pack(x, to + c);
    }
  }
}

__global__ void received_kernel(DistinctView d, const TableOnDevice* tables, RequestPlaces places,
                                float* received, const float* present, float** part) {
  const int64_t u = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (u >= distinct_count(d)) return;
  const int64_t t = table_of(d, u);
  for (int32_t slot = d.first_slot[u]; slot < d.first_slot[u + 1]; ++slot) {
    const int64_t id = d.first_occurrence[slot], range = d.leaf_of_slot[slot] * d.tables + t;
    part[slot] = present[id] != 0 ? received + places.received_gradient[range] +
                                        (id - places.received[range].first) * tables[t].pitch
                                  : nullptr;
  }
}

dim3 by_id(const DistinctView& d) { return dim3(divide_up(d.most, row_threads)); }

}  // namespace

void place_ids(Context& ctx, const DistinctView& wanted, const RequestPlaces& places, int64_t* asked_ids) {
  launch(ctx, "embedding requests", place_ids_kernel, by_id(wanted), dim3(row_threads), 0, wanted, places,
         asked_ids);
}

void place_rows(Context& ctx, const DistinctView& wanted, const TableOnDevice* tables,
                const RequestPlaces& places, const float* rows, const void** address) {
  launch(ctx, "embedding answers", place_rows_kernel, by_id(wanted), dim3(row_threads), 0, wanted, tables,
         places, rows, address);
}

void pack_totals(Context& ctx, const DistinctView& wanted, const TableOnDevice* tables, int64_t widest,
                 const RequestPlaces& places, float* const* total, float* sent, float* present) {
  const dim3 block = row_block(widest);
  launch(ctx, "embedding gradients sent", pack_kernel, blocks_of_ids(wanted.most, block), block, 0, wanted,
         tables, places, total, sent, present);
}

void received_parts(Context& ctx, const DistinctView& owned, const TableOnDevice* tables,
                    const RequestPlaces& places, float* received, const float* present, float** part) {
  launch(ctx, "embedding gradients received", received_kernel, by_id(owned), dim3(row_threads), 0, owned,
         tables, places, received, present, part);
}

}  // namespace lime::cuda
