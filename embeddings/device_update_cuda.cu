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

// --- the update --------------------------------------------------------------------------------

__device__ __forceinline__ bool finite(double x) { return x - x == 0; }

// What is new with an id, and, summed, with all up to it: rows in the lower half, ids in the upper.
constexpr uint64_t new_row = 1, new_id = uint64_t{1} << 32;
__device__ __forceinline__ int64_t rows_in(uint64_t sum) { return static_cast<int64_t>(sum & (new_id - 1)); }
__device__ __forceinline__ int64_t ids_in(uint64_t sum) { return static_cast<int64_t>(sum / new_id); }
__device__ __forceinline__ uint64_t before(const uint64_t* sums, int64_t u) {
  return u > 0 ? sums[u - 1] : 0;
}
__device__ __forceinline__ bool has_new_row(const uint64_t* sums, int64_t u) {
  return rows_in(sums[u]) != rows_in(before(sums, u));
}

// Ids that have a gradient and no row. `is_new` is what is summed then.
__global__ void new_kernel(DistinctView d, const TableOnDevice* tables, RowsUpdate update, uint64_t* is_new) {
  const int64_t u = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (u >= d.most) return;
  uint64_t found = 0;
  if (u < distinct_count(d) && update.total[u] && !is_row(update.rows[u]) && finite(*update.grad_scale)) {
    // Another lookup's update may have been there in between.
    const TableOnDevice& table = tables[table_of(d, u)];
    const int64_t place = find_place(table, d.ids[u]);
    update.rows[u] = place;
    if (place == no_place) found += new_id;
    if (!is_row(place) && is_admitted(place, table.admit_after)) found += new_row;
  }
  is_new[u] = found;
}

// Rows are numbered in order of the distinct ids.
__global__ void insert_kernel(DistinctView d, const TableOnDevice* tables, RowsUpdate update,
                              const uint64_t* sums) {
  const int64_t u = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (u >= distinct_count(d) || !update.total[u] || is_row(update.rows[u]) || !finite(*update.grad_scale))
    return;
  const int64_t t = table_of(d, u), begin = d.begins[t * d.owners];
  int64_t& place = update.rows[u];
  if (has_new_row(sums, u)) {
    place = update.counts[t] + rows_in(sums[u]) - rows_in(before(sums, begin)) - 1;
  } else {
    place = waiting_place(steps_of(place) + 1, 0);
  }
  put_id(tables[t].entries, tables[t].mask, d.ids[u], place);
}

__global__ void count_kernel(DistinctView d, const uint64_t* sums, int64_t* counts) {
  const int64_t t = int64_t{blockIdx.x} * row_threads + threadIdx.x;
  if (t >= d.tables) return;
  const int64_t begin = d.begins[t * d.owners], end = d.begins[(t + 1) * d.owners];
  counts[t] += rows_in(before(sums, end)) - rows_in(before(sums, begin));
  counts[d.tables + t] += ids_in(before(sums, end)) - ids_in(before(sums, begin));
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
  const float* const gradient = u >= 0 && finite(scale) && is_row(update.rows[u]) ? update.total[u] : nullptr;
  int table_number = 0, is_new = 0;
  int64_t id = 0;
  void* values = nullptr;
  float *state = nullptr, of_row = 0;
  if (gradient) {
    const int64_t row = update.rows[u];
    is_new = has_new_row(sums, u);
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
