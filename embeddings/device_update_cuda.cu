#include "embeddings/device_rows_cuda.h"
#include "embeddings/row_type.h"
#include "runtime/device_sort.h"

namespace lime::cuda {

namespace {

// --- sums along the tree -----------------------------------------------------------------------

// As ordered_sum.h does it: two leaves meet in the tree where their indices' highest differing bit is, so
// with leaves in increasing order a stack suffices. Sums in place; each lane has columns of its own.
struct TreeSum {
  struct Partial {
    float* sum;
    int32_t leaf;  // any of its leaves to the right
    int height;    // where it meets the partial sum below it
  };
  Partial stack[33];
  int depth;
  int64_t pitch;

  __device__ void join_below(int height) {
    while (depth > 1 && stack[depth - 1].height < height) {
      const float* from = stack[depth - 1].sum;
      float* to = stack[depth - 2].sum;
      for (int64_t c = threadIdx.x * pack; c < pitch; c += blockDim.x * pack) {
        float x[pack], y[pack];
        load_row_pack(from + c, x);
        load_row_pack(to + c, y);
        for (int i = 0; i < pack; ++i) y[i] += x[i];
        store_row_pack(y, to + c);
      }
      stack[depth - 2].leaf = stack[depth - 1].leaf;
      --depth;
    }
  }
  __device__ void add(float* sum, int32_t leaf) {
    int height = 0;
    if (depth > 0) {
      height = 32 - __clz(stack[depth - 1].leaf ^ leaf);
      join_below(height);
    }
    stack[depth++] = {sum, leaf, height};
  }
};

__global__ void tree_kernel(DistinctView d, const TableOnDevice* tables, float* const* part, float** total) {
  const int64_t u = id_of_lane(distinct_count(d));
  int parts = 0;
  if (u >= 0) {
    float* first = nullptr;
    for (int32_t slot = d.first_slot[u]; slot < d.first_slot[u + 1]; ++slot)
      if (part[slot]) first = parts++ == 0 ? part[slot] : first;
    total[u] = first;  // which the sum is made in
  }
#pragma unroll 1
  for (uint32_t k = 0; k < ids_of_group(blockDim.x); ++k) {
    const int64_t id = from_lane(u, k);
    if (from_lane(parts, k) < 2) continue;
    TreeSum tree;
    tree.depth = 0;
    tree.pitch = tables[table_of(d, id)].pitch;
    for (int32_t slot = d.first_slot[id]; slot < d.first_slot[id + 1]; ++slot)
      if (part[slot]) tree.add(part[slot], d.leaf_of_slot[slot]);
    tree.join_below(33);
  }
}

// --- the norm ----------------------------------------------------------------------------------

__global__ void row_squares_kernel(DistinctView d, const TableOnDevice* tables, float* const* total,
                                   double* squares) {
  const int64_t u = id_of_lane(distinct_count(d));
  const float* const row = u >= 0 ? total[u] : nullptr;
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

// --- the update --------------------------------------------------------------------------------

__device__ __forceinline__ bool finite(double x) { return x - x == 0; }

// new_rows[u]: whether the id has a gradient and no row.
__global__ void new_kernel(DistinctView d, const TableOnDevice* tables, RowsUpdate update,
                           uint64_t* new_rows) {
  const int64_t u = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (u >= d.most) return;
  uint64_t is_new = 0;
  if (u < distinct_count(d) && update.total[u] && update.rows[u] == no_row && finite(*update.grad_scale)) {
    // Another lookup's update may have been there in between.
    const int64_t row = find_row(tables[table_of(d, u)], d.ids[u]);
    update.rows[u] = row;
    is_new = row == no_row;
  }
  new_rows[u] = is_new;
}

// sums[u]: new rows up to u. They are numbered in order of the distinct ids.
__global__ void insert_kernel(DistinctView d, const TableOnDevice* tables, RowsUpdate update,
                              const uint64_t* sums) {
  const int64_t u = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (u >= distinct_count(d) || sums[u] == (u > 0 ? sums[u - 1] : 0)) return;
  const int64_t t = table_of(d, u), begin = d.begins[t * d.owners];
  const uint64_t before = begin > 0 ? sums[begin - 1] : 0;
  const int64_t row = update.counts[t] + static_cast<int64_t>(sums[u] - before) - 1;
  insert_row(tables[t].entries, tables[t].mask, d.ids[u], row);
  update.rows[u] = row;
}

__global__ void count_kernel(DistinctView d, const uint64_t* sums, int64_t* counts) {
  const int64_t t = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (t >= d.tables) return;
  const int64_t begin = d.begins[t * d.owners], end = d.begins[(t + 1) * d.owners];
  const auto up_to = [&](int64_t u) { return u > 0 ? static_cast<int64_t>(sums[u - 1]) : int64_t{0}; };
  counts[t] += up_to(end) - up_to(begin);
}

// A row's update, column by column, in packs: sparse_optimizer.h has the formulas.
struct Step {
  const TableOnDevice& table;
  float grad_scale, lr;
  bool is_new;
  int64_t id;
  void* values;  // of the table's type
  float* state;
  uint64_t number;  // of the update
  float of_row;     // the one number of the state that a row has, where it has one
  const float* gradient;

  __device__ __forceinline__ void load_gradient(int64_t c, float (&g)[pack]) const {
    load_row_pack(gradient + c, g);
#pragma unroll
    for (int i = 0; i < pack; ++i) g[i] *= grad_scale;
  }
  __device__ __forceinline__ void load_values(int64_t c, float (&p)[pack]) const {
    if (is_new) {
      initial_values(table, id, c, p);
    } else if (table.type == DType::bf16) {
      load_row_pack(static_cast<const bf16*>(values) + c, p);
    } else {
      load_row_pack(static_cast<const float*>(values) + c, p);
    }
  }
  // In bf16 rounded stochastically, by the bits that sparse_optimizer.h says: two neighbouring packs draw the
  // same block and use a half of it each.
  __device__ __forceinline__ void store_values(const float (&p)[pack], int64_t c) const {
    if (table.type != DType::bf16) return store_row_pack(p, static_cast<float*>(values) + c);
    constexpr int64_t of_block = Philox::halves_of_block;
    uint32_t words[4];
    philox_block(table.seed, mix64(table.rounding_prefix ^ static_cast<uint64_t>(id)),
                 number * static_cast<uint64_t>((table.dim + of_block - 1) / of_block) +
                     static_cast<uint64_t>(c / of_block),
                 words);
    const bool first = c % of_block == 0;
    const uint32_t random[2] = {first ? words[0] : words[2], first ? words[1] : words[3]};
    Pack<bf16, pack> rounded;
#pragma unroll
    for (int i = 0; i < pack; ++i)
      rounded.at[i] = rounded_stochastically(p[i], static_cast<uint16_t>(random[i / 2] >> (i % 2 * 16)));
    store_pack(static_cast<bf16*>(values) + c, rounded);
  }
  __device__ __forceinline__ void load_state(int64_t c, float (&s)[pack]) const {
    if (!is_new) return load_row_pack(state + c, s);
    for (int i = 0; i < pack; ++i) s[i] = table.initial_state;
  }
};

__device__ void sgd(const Step& s) {
  for (int64_t c = threadIdx.x * pack; c < s.table.pitch; c += blockDim.x * pack) {
    float g[pack], p[pack];
    s.load_gradient(c, g);
    s.load_values(c, p);
    for (int i = 0; i < pack; ++i) p[i] -= s.lr * g[i];
    s.store_values(p, c);
  }
}

// of_row: the sum of the means of g^2 over the row. All lanes of the warp call, also those of groups without
// a row: `there` is false. A lane's first pack of gradient and values is read once, and both at once.
__device__ void rowwise_adagrad(const Step& s, bool there) {
  const int64_t first = threadIdx.x * pack, step = blockDim.x * pack, end = there ? s.table.pitch : 0;
  float g[pack] = {}, p[pack] = {}, square = 0;
  if (first < end) {
    s.load_gradient(first, g);
    s.load_values(first, p);
  }
  for (int i = 0; i < pack; ++i) square += g[i] * g[i];
  for (int64_t c = first + step; c < end; c += step) {
    float more[pack];
    s.load_gradient(c, more);
    for (int i = 0; i < pack; ++i) square += more[i] * more[i];
  }
  square = group_sum(square);
  if (!there) return;
  const float sum = s.of_row + square / static_cast<float>(s.table.dim);
  const float rate = s.lr / (sqrtf(sum) + s.table.eps);
  for (int64_t c = first; c < end; c += step) {
    if (c > first) {
      s.load_gradient(c, g);
      s.load_values(c, p);
    }
    for (int i = 0; i < pack; ++i) p[i] -= rate * g[i];
    s.store_values(p, c);
  }
  if (threadIdx.x == 0) *s.state = sum;
}

__device__ void adagrad(const Step& s) {
  for (int64_t c = threadIdx.x * pack; c < s.table.pitch; c += blockDim.x * pack) {
    float g[pack], p[pack], sum[pack];
    s.load_gradient(c, g);
    s.load_values(c, p);
    s.load_state(c, sum);
    for (int i = 0; i < pack; ++i) {
      sum[i] += g[i] * g[i];
      const float root = sqrtf(sum[i]) + s.table.eps;
      p[i] -= root > 0 ? s.lr * g[i] / root : 0;  // 0 / 0 behind the table's columns
    }
    store_row_pack(sum, s.state + c);
    s.store_values(p, c);
  }
}

// of_row: how many updates the row had; it is behind the moments.
__device__ void adam(const Step& s) {
  const int64_t pitch = s.table.pitch;
  const float updates = s.of_row + 1;
  const auto m_share = static_cast<float>(1 / (1 - pow(s.table.beta1, double{updates}))),
             v_share = static_cast<float>(1 / (1 - pow(s.table.beta2, double{updates})));
  const auto beta1 = static_cast<float>(s.table.beta1), beta2 = static_cast<float>(s.table.beta2);
  const auto one_beta1 = static_cast<float>(1 - s.table.beta1),
             one_beta2 = static_cast<float>(1 - s.table.beta2);
  for (int64_t c = threadIdx.x * pack; c < pitch; c += blockDim.x * pack) {
    float g[pack], p[pack], m[pack], v[pack];
    s.load_gradient(c, g);
    s.load_values(c, p);
    s.load_state(c, m);
    s.load_state(pitch + c, v);
    for (int i = 0; i < pack; ++i) {
      m[i] = beta1 * m[i] + one_beta1 * g[i];
      v[i] = beta2 * v[i] + one_beta2 * (g[i] * g[i]);
      const float root = sqrtf(v_share * v[i]) + s.table.eps;
      p[i] -= root > 0 ? s.lr * (m_share * m[i]) / root : 0;
    }
    store_row_pack(m, s.state + c);
    store_row_pack(v, s.state + pitch + c);
    s.store_values(p, c);
  }
  if (threadIdx.x == 0) s.state[2 * pitch] = updates;
}

__global__ void update_kernel(DistinctView d, const TableOnDevice* tables, RowsUpdate update,
                              const uint64_t* sums) {
  const int64_t u = id_of_lane(distinct_count(d));
  const double scale = *update.grad_scale;
  const float* const gradient = u >= 0 && finite(scale) ? update.total[u] : nullptr;
  int table_number = 0, is_new = 0;
  int64_t id = 0;
  void* values = nullptr;
  float *state = nullptr, of_row = 0;
  if (gradient) {
    const int64_t row = update.rows[u];
    is_new = sums[u] != (u > 0 ? sums[u - 1] : 0);
    id = d.ids[u];
    table_number = static_cast<int>(table_of(d, u));
    const TableOnDevice& table = tables[table_number];
    const RowPlace at = place_of_row(table, row);
    values = values_of(table, at);
    if (table.state_pitch > 0) state = row_in(table.state, at, table.state_pitch);
    table.idle[at.chunk][at.within] = 0;
    if (table.optimizer == SparseOptimizer::rowwise_adagrad || table.optimizer == SparseOptimizer::adam)
      of_row = is_new ? table.initial_state
                      : state[table.optimizer == SparseOptimizer::adam ? 2 * table.pitch : 0];
  }
  __syncwarp();  // of_row has been read
#pragma unroll 1
  for (uint32_t k = 0; k < ids_of_group(blockDim.x); ++k) {
    const float* const of_id = from_lane(gradient, k);
    const TableOnDevice& table = tables[from_lane(table_number, k)];
    const Step step{table,
                    static_cast<float>(scale),
                    static_cast<float>(table.learning_rate * update.lr_scale),
                    from_lane(is_new, k) != 0,
                    from_lane(id, k),
                    from_lane(values, k),
                    from_lane(state, k),
                    update.number,
                    from_lane(of_row, k),
                    of_id};
    const bool rowwise = of_id && table.optimizer == SparseOptimizer::rowwise_adagrad;
    if (__any_sync(all_lanes, rowwise)) rowwise_adagrad(step, rowwise);
    if (!of_id || rowwise) continue;
    switch (table.optimizer) {
      case SparseOptimizer::sgd:
        sgd(step);
        break;
      case SparseOptimizer::adagrad:
        adagrad(step);
        break;
      case SparseOptimizer::adam:
        adam(step);
        break;
      case SparseOptimizer::rowwise_adagrad:
        break;
    }
  }
}

}  // namespace

void tree_totals(Context& ctx, const DistinctView& d, const TableOnDevice* tables, int64_t widest,
                 float* const* part, float** total) {
  const dim3 block = row_block(widest);
  launch(ctx, "embedding gradient totals", tree_kernel, blocks_of_ids(d.most, block), block, 0, d, tables,
         part, total);
}

void bucket_squares(Context& ctx, const DistinctView& d, const TableOnDevice* tables, int64_t widest,
                    float* const* total, int64_t first_bucket, int64_t most_buckets, double* sums) {
  const Arena::Scope scope(ctx.arena());
  auto* squares = ctx.arena().alloc(DType::f64, 1, d.most).data<double>();
  const dim3 block = row_block(widest);
  launch(ctx, "embedding gradient norm", row_squares_kernel, blocks_of_ids(d.most, block), block, 0, d,
         tables, total, squares);
  constexpr int warps = row_threads / warp_size;
  launch(ctx, "embedding gradient norm", bucket_kernel, dim3(divide_up(d.tables * most_buckets, warps)),
         dim3(warp_size, warps), 0, d, squares, first_bucket, most_buckets, sums);
}

void add_bucket_squares(Context& ctx, const double* sums, int64_t tables, int ranks, double* out) {
  static_assert(virtual_buckets <= 1024 && virtual_buckets % warp_size == 0);
  launch(ctx, "embedding gradient norm", all_buckets_kernel, dim3(1), dim3(virtual_buckets), 0, sums, tables,
         ranks, out);
}

void update_rows(Context& ctx, const DistinctView& d, const TableOnDevice* tables, int64_t widest,
                 const RowsUpdate& update) {
  if (d.most == 0) return;
  const Arena::Scope scope(ctx.arena());
  auto* sums = static_cast<uint64_t*>(ctx.arena().alloc(DType::i64, 1, d.most).raw());
  const dim3 by_id(divide_up(d.most, row_threads)), threads(row_threads), block = row_block(widest);
  launch(ctx, "embedding new rows", new_kernel, by_id, threads, 0, d, tables, update, sums);
  running_sums(ctx, sums, sums, d.most);
  launch(ctx, "embedding new rows", insert_kernel, by_id, threads, 0, d, tables, update, sums);
  launch(ctx, "embedding new rows", count_kernel, dim3(divide_up(d.tables, row_threads)), threads, 0, d, sums,
         update.counts);
  launch(ctx, "embedding update", update_kernel, blocks_of_ids(d.most, block), block, 0, d, tables, update,
         sums);
}

}  // namespace lime::cuda
