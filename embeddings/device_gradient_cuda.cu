// Row gradients: the sum of a feature's gradient over the occurrences of each slot, in an order that the
// occurrences alone decide.
//
// The occurrences, sorted by slot, are items. A group of lanes adds a chunk of them in order. A run of one
// slot that lies in one chunk is done; what a chunk has of a run that goes on before or behind it is a
// partial sum: its first one, its last one. The partial sums, two places a chunk, are the items of the next
// level, in the same order; the last level is one chunk.
#include "embeddings/device_rows_cuda.h"

namespace lime::cuda {

namespace {

constexpr int loads_at_once = 8;
// Items of a chunk: of rows, where there are many, and of partial sums.
constexpr int row_chunk = 32, partial_chunk = 96;
constexpr int32_t no_slot = -1;

// Occurrences of a feature, sorted, with their rows of dout.
template <typename T>
struct Occurrences {
  static constexpr int chunk = row_chunk;
  static constexpr bool rows_differ = true;  // from their place among the items, and have a share
  const uint32_t* by_id;
  const int32_t* slot_of;  // of all occurrences
  int64_t first, count;
  const int64_t* offsets;
  int64_t rows;
  bool mean;
  Matrix<const T> dout;

  __device__ int32_t slot(int64_t k) const { return slot_of[by_id[k]]; }
  __device__ int32_t row(int64_t k) const {
    const int64_t occurrence = by_id[k] - first;
    return static_cast<int32_t>(offsets ? segment_of(offsets, rows, occurrence) : occurrence);
  }
  __device__ float share(int32_t row) const {
    if (!offsets || !mean) return 1;
    int n = 0;
    for (int64_t o = offsets[row]; o < offsets[row + 1]; ++o) n += slot_of[first + o] >= 0;
    return 1.0f / static_cast<float>(n);
  }
  // The row, where it can be read as one of the table's gradients.
  template <bool packs>
  __device__ __forceinline__ const float* in_place(int32_t row, int64_t pitch) const {
    if constexpr (packs && std::is_same_v<T, float>) return dout.cols == pitch ? dout.row(row) : nullptr;
    return nullptr;
  }
  template <bool packs>
  __device__ __forceinline__ void load(int64_t row, int64_t c, float (&x)[pack]) const {
    const T* from = dout.row(row) + c;
    if constexpr (packs && sizeof(T) * pack <= 16) {
      const auto v = load_pack<pack>(from);
#pragma unroll
      for (int i = 0; i < pack; ++i) x[i] = to_compute(v.at[i]);
    } else {
      for (int i = 0; i < pack; ++i) x[i] = c + i < dout.cols ? static_cast<float>(to_compute(from[i])) : 0;
    }
  }
};

struct Partials {
  static constexpr int chunk = partial_chunk;
  static constexpr bool rows_differ = false;
  const int32_t* slots;
  int64_t count;
  const float* sums;  // count x pitch
  int64_t pitch;

  __device__ int32_t slot(int64_t k) const { return slots[k]; }
  template <bool packs>
  __device__ __forceinline__ void load(int64_t row, int64_t c, float (&x)[pack]) const {
    load_row_pack(sums + row * pitch + c, x);
  }
};

// What a level leaves to the next.
struct Left {
  int32_t* slots;
  float* sums;
};

constexpr int most_groups = 32;  // of a block: each has a chunk in shared memory

template <typename Items>
constexpr int words_a_group = 3 * Items::chunk + 2 + (Items::rows_differ ? 2 * Items::chunk : 0);

// Slots of a chunk with one occurrence in all, and no gradient yet: what would be its copy is the row itself.
// They are no items any more then. All threads of the block call.
template <bool packs, typename Items>
__device__ __forceinline__ void leave_in_place(const Items& items, const SlotGradients& out, int n,
                                               int32_t* slot, float* const* part, int32_t* row,
                                               const float* share) {
  constexpr int32_t left = -1;
  for (int k = static_cast<int>(threadIdx.x); k < n; k += static_cast<int>(blockDim.x)) {
    if (slot[k] == no_slot || slot[k - 1] == slot[k] || slot[k + 1] == slot[k]) continue;
    const float* const there = items.template in_place<packs>(row[k], out.pitch);
    if (!there || part[k] || share[k] != 1) continue;
    out.part[slot[k]] = const_cast<float*>(there);  // only parts of several micro-batches are written to
    row[k] = left;
  }
  __syncthreads();  // slots have been read
  for (int k = static_cast<int>(threadIdx.x); k < n; k += static_cast<int>(blockDim.x))
    if (slot[k] != no_slot && row[k] == left) slot[k] = no_slot;
  __syncthreads();
}

template <bool packs, typename Items>
__global__ void sum_kernel(Items items, SlotGradients out, Left left) {
  constexpr int chunk = Items::chunk;
  const int64_t index = int64_t{blockIdx.x} * blockDim.y + threadIdx.y, begin = index * chunk;
  const auto n = static_cast<int>(min(int64_t{chunk}, items.count - begin));  // none: a group without a chunk
  // Where the chunk's slots have gradients already; the slots, with the two beside them; rows and shares.
  float** part = dynamic_shared<float*>() + threadIdx.y * (words_a_group<Items> / 2);
  int32_t *slot = reinterpret_cast<int32_t*>(part + chunk) + 1, *row = slot + chunk + 1;
  auto* share = reinterpret_cast<float*>(row + chunk);
  for (int k = static_cast<int>(threadIdx.x) - 1; k <= n && n > 0; k += static_cast<int>(blockDim.x)) {
    const int64_t at = begin + k;
    slot[k] = at >= 0 && at < items.count ? items.slot(at) : no_slot;
    if (k < 0 || k >= n || slot[k] == no_slot) continue;
    part[k] = out.part[slot[k]];
    if constexpr (Items::rows_differ) {
      row[k] = items.row(at);
      share[k] = items.share(row[k]);
    }
  }
  __syncthreads();
  if constexpr (Items::rows_differ) {
    if (out.in_place) leave_in_place<packs>(items, out, n, slot, part, row, share);
  }
  if (n <= 0) return;
  const bool before = slot[0] != no_slot && slot[-1] == slot[0];
  const bool after = slot[n - 1] != no_slot && slot[n] == slot[n - 1];
  // A run over the whole chunk is left in two halves: the sums of a run lie side by side.
  const int half = before && after && slot[0] == slot[n - 1] ? chunk / 2 : -1;
  if (threadIdx.x == 0 && left.slots) {
    left.slots[2 * index] = before ? slot[0] : no_slot;
    left.slots[2 * index + 1] = after ? slot[n - 1] : no_slot;
  }
  for (int64_t c = threadIdx.x * pack; c < out.pitch; c += blockDim.x * pack) {
    float sum[pack] = {};
    int run = 0;  // where the current one begins
    const auto end_run = [&](int end) {
      if (slot[run] != no_slot) {
        const bool first = run == 0 && before, last = end == n && after;
        if (first || last) {
          store_row_pack(sum, left.sums + (2 * index + (first ? 0 : 1)) * out.pitch + c);
        } else {
          float* to = out.gradient + (slot[run] - out.first_slot) * out.pitch + c;
          if (part[run]) {
            float there[pack];
            load_row_pack(part[run] + c, there);
            for (int i = 0; i < pack; ++i) sum[i] = there[i] + sum[i];
          }
          if (c == 0) out.part[slot[run]] = to;  // nobody but this group sums the slot in this level
          store_row_pack(sum, to);
        }
      }
      for (int i = 0; i < pack; ++i) sum[i] = 0;
      run = end;
    };
    for (int from = 0; from < n; from += loads_at_once) {
      float x[loads_at_once][pack];
#pragma unroll
      for (int j = 0; j < loads_at_once; ++j) {
        const int k = from + j;
        if (k >= n || slot[k] == no_slot) continue;
        if constexpr (Items::rows_differ) {
          items.template load<packs>(row[k], c, x[j]);
        } else {
          items.template load<packs>(begin + k, c, x[j]);
        }
      }
#pragma unroll
      for (int j = 0; j < loads_at_once; ++j) {
        const int k = from + j;
        if (k >= n) break;
        if (slot[k] != slot[run] || k == half) end_run(k);
        if (slot[k] == no_slot) continue;
        const float by = Items::rows_differ ? share[k] : 1;
#pragma unroll
        for (int i = 0; i < pack; ++i) sum[i] += by * x[j][i];
      }
    }
    end_run(n);
  }
}

// One level; returns the items of the next.
template <bool packs, typename Items>
Partials sum_level(Context& ctx, const Items& items, const SlotGradients& out) {
  const int64_t chunks = divide_up(items.count, Items::chunk);
  Left left{};
  if (chunks > 1) {
    left.slots = static_cast<int32_t*>(ctx.arena().alloc(DType::f32, 1, 2 * chunks).raw());
    left.sums = ctx.arena().alloc(DType::f32, 2 * chunks, out.pitch).template data<float>();
  }
  const uint32_t lanes = row_block(out.pitch).x,
                 groups = std::min<uint32_t>(row_threads / lanes, most_groups);
  launch(ctx, "embedding gradient", sum_kernel<packs, Items>, dim3(divide_up(chunks, groups)),
         dim3(lanes, groups), groups * words_a_group<Items> * sizeof(int32_t), items, out, left);
  return {left.slots, chunks > 1 ? 2 * chunks : 0, left.sums, out.pitch};
}

}  // namespace

void add_gradients(Context& ctx, const DeviceFeature& f, const DeviceDistinct& distinct,
                   const SlotGradients& out, const ConstView& dout) {
  if (f.occurrences == 0) return;
  const Arena::Scope scope(ctx.arena());
  with_row_type(dout.dtype(), [&]<typename T>(T) {
    const Occurrences<T> items{distinct.by_id.data() + f.first,
                               distinct.slot_of.data(),
                               f.first,
                               f.occurrences,
                               f.offsets,
                               f.rows,
                               f.mean,
                               matrix<const T>(dout)};
    Partials left = in_packs(dout) ? sum_level<true>(ctx, items, out) : sum_level<false>(ctx, items, out);
    while (left.count > 0) left = sum_level<true>(ctx, left, out);
  });
}

}  // namespace lime::cuda
