#include "embeddings/device_distinct.h"
#include "embeddings/embedding_collection.h"
#include "runtime/cuda_kernel.h"
#include "runtime/device_sort.h"
#include "runtime/philox.h"

#include <bit>

namespace lime::cuda {

namespace {

constexpr int threads = 256;
constexpr int bucket_bits = std::bit_width(static_cast<uint64_t>(virtual_buckets - 1));
static_assert(int64_t{1} << bucket_bits == virtual_buckets);

// The range that holds an occurrence.
__device__ int64_t range_of(const IdRange* ranges, int64_t count, int64_t occurrence) {
  int64_t low = 0, high = count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (ranges[middle].first <= occurrence) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

struct Place {
  uint32_t place;  // tables * virtual_buckets for a missing id: after all others
  int64_t id;
};

__device__ Place place_of(const IdOccurrences& in, int64_t occurrence) {
  int64_t id = in.ids[occurrence];
  if (id < 0) return {static_cast<uint32_t>(in.tables * virtual_buckets), 0};
  const int64_t table = in.ranges[range_of(in.ranges, in.range_count, occurrence)].table;
  if (const int64_t capacity = in.capacities[table]; capacity > 0 && id >= capacity) id %= capacity;
  const int64_t bucket = bucket_of_hash(mix64(static_cast<uint64_t>(id)));
  return {static_cast<uint32_t>(table * virtual_buckets + bucket), id};
}

// What the first sort is by: place and id in one number where they fit, else the id; then the place is next.
__global__ void key_kernel(IdOccurrences in, bool whole, uint64_t* keys, uint32_t* occurrences) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= in.count) return;
  const Place at = place_of(in, i);
  keys[i] = (whole ? uint64_t{at.place} << in.id_bits : 0) | static_cast<uint64_t>(at.id);
  occurrences[i] = static_cast<uint32_t>(i);
}

__global__ void place_key_kernel(IdOccurrences in, const uint32_t* occurrences, uint64_t* keys) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < in.count) keys[i] = place_of(in, occurrences[i]).place;
}

// The occurrences in order.
struct Sorted {
  const uint64_t* keys;
  const uint32_t* occurrences;
  bool whole;

  __device__ Place at(const IdOccurrences& in, int64_t i) const {
    if (!whole) return place_of(in, occurrences[i]);
    const uint64_t id_mask = (uint64_t{1} << in.id_bits) - 1;
    return {static_cast<uint32_t>(keys[i] >> in.id_bits), static_cast<int64_t>(keys[i] & id_mask)};
  }
  __device__ int32_t leaf(const IdOccurrences& in, int64_t i) const {
    return in.ranges[range_of(in.ranges, in.range_count, occurrences[i])].leaf;
  }
};

// heads[i]: whether an id begins here (low half), and a slot (high half).
__global__ void head_kernel(IdOccurrences in, Sorted sorted, uint64_t* heads) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= in.count) return;
  const Place at = sorted.at(in, i);
  uint64_t head = 0;
  if (at.place < static_cast<uint32_t>(in.tables * virtual_buckets)) {
    bool id_begins = true, slot_begins = true;
    if (i > 0) {
      const Place before = sorted.at(in, i - 1);
      id_begins = before.place != at.place || before.id != at.id;
      slot_begins = id_begins || sorted.leaf(in, i - 1) != sorted.leaf(in, i);
    }
    head = (slot_begins ? uint64_t{1} << 32 : 0) | (id_begins ? 1 : 0);
  }
  heads[i] = head;
}

struct Numbers {
  int64_t* ids;
  uint32_t* place;
  int32_t *first_slot, *leaf_of_slot, *first_occurrence, *slot_of, *distinct_of;
};

// sums[i] counts the heads up to i.
__global__ void number_kernel(IdOccurrences in, Sorted sorted, const uint64_t* sums, Numbers out) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= in.count) return;
  const uint64_t sum = sums[i], before = i > 0 ? sums[i - 1] : 0;
  const auto distinct = static_cast<int32_t>(sum & 0xffffffffu) - 1,
             slot = static_cast<int32_t>(sum >> 32) - 1;
  const uint32_t occurrence = sorted.occurrences[i];
  const Place at = sorted.at(in, i);
  const bool missing = at.place == static_cast<uint32_t>(in.tables * virtual_buckets);
  out.slot_of[occurrence] = missing ? -1 : slot;
  out.distinct_of[occurrence] = missing ? -1 : distinct;
  if ((sum & 0xffffffffu) != (before & 0xffffffffu)) {
    out.ids[distinct] = at.id;
    out.place[distinct] = at.place;
    out.first_slot[distinct] = slot;
  }
  if (sum >> 32 != before >> 32) {
    out.leaf_of_slot[slot] = sorted.leaf(in, i);
    out.first_occurrence[slot] = static_cast<int32_t>(occurrence);
  }
  if (i == in.count - 1) out.first_slot[distinct + 1] = slot + 1;
}

// begins[k]: the first distinct id at or after the k-th owner's first bucket of its table; begins[n + k]: its
// slot.
__global__ void begin_kernel(const uint64_t* sums, int64_t count, int64_t tables, int owners, Numbers in,
                             int64_t* begins) {
  const int64_t k = int64_t{blockIdx.x} * threads + threadIdx.x, n = tables * owners + 1;
  if (k >= n) return;
  const int64_t distinct = count > 0 ? static_cast<int64_t>(sums[count - 1] & 0xffffffffu) : 0;
  const int64_t owner = k % owners;
  const auto boundary =
      static_cast<uint32_t>(k / owners * virtual_buckets + (virtual_buckets * owner + owners - 1) / owners);
  int64_t low = 0, high = distinct;  // the first with place >= boundary
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (in.place[middle] < boundary) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  begins[k] = low;
  begins[n + k] = count > 0 ? in.first_slot[low] : 0;
}

__global__ void range_key_kernel(IdOccurrences in, const uint32_t* occurrences, uint64_t* keys) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < in.count) keys[i] = static_cast<uint64_t>(range_of(in.ranges, in.range_count, occurrences[i]));
}

int bits_for(int64_t values) { return std::bit_width(static_cast<uint64_t>(values > 0 ? values - 1 : 0)); }

}  // namespace

void find_distinct(Context& ctx, const IdOccurrences& in, DeviceDistinct& out) {
  LIME_CHECK(in.count < int64_t{1} << 31, "more than 2^31 ids in a step");
  const Device device = ctx.device();
  const int64_t n = in.count;
  const Numbers numbers{out.ids.discard_and_reserve(device, n),
                        out.place.discard_and_reserve(device, n),
                        out.first_slot.discard_and_reserve(device, n + 1),
                        out.leaf_of_slot.discard_and_reserve(device, n),
                        out.first_occurrence.discard_and_reserve(device, n),
                        out.slot_of.discard_and_reserve(device, n),
                        out.distinct_of.discard_and_reserve(device, n)};
  const int64_t begin_count = in.tables * in.owners + 1;
  int64_t* begins = out.begins.discard_and_reserve(device, 2 * begin_count);

  const Arena::Scope scope(ctx.arena());
  const auto keys = [&] { return static_cast<uint64_t*>(ctx.arena().alloc(DType::i64, 1, n).raw()); };
  const auto values = [&] { return static_cast<uint32_t*>(ctx.arena().alloc(DType::f32, 1, n).raw()); };
  KeyValues pairs{keys(), values()}, other{keys(), values()};
  const dim3 grid(divide_up(n, threads)), block(threads);

  // One more table than there are: that of missing ids.
  const int place_bits = bits_for(in.tables + 1) + bucket_bits;
  const bool whole = in.id_bits + place_bits <= 64;
  launch(ctx, "distinct ids: keys", key_kernel, grid, block, 0, in, whole, pairs.keys, pairs.values);
  sort_pairs(ctx, pairs, other, n, 0, whole ? in.id_bits + place_bits : in.id_bits);
  if (!whole) {
    launch(ctx, "distinct ids: places", place_key_kernel, grid, block, 0, in, pairs.values, pairs.keys);
    sort_pairs(ctx, pairs, other, n, 0, place_bits);
  }
  const Sorted sorted{pairs.keys, pairs.values, whole};
  uint64_t* sums = other.keys;
  launch(ctx, "distinct ids: heads", head_kernel, grid, block, 0, in, sorted, sums);
  running_sums(ctx, sums, sums, n);
  launch(ctx, "distinct ids: numbers", number_kernel, grid, block, 0, in, sorted, sums, numbers);
  launch(ctx, "distinct ids: begins", begin_kernel, dim3(divide_up(begin_count, threads)), block, 0, sums, n,
         in.tables, in.owners, numbers, begins);
  if (!in.by_id || n == 0) return;

  launch(ctx, "distinct ids: ranges", range_key_kernel, grid, block, 0, in, pairs.values, pairs.keys);
  sort_pairs(ctx, pairs, other, n, 0, bits_for(in.range_count));
  ctx.stream().copy(pairs.values, out.by_id.discard_and_reserve(device, n),
                    static_cast<size_t>(n) * sizeof(uint32_t));
}

}  // namespace lime::cuda
