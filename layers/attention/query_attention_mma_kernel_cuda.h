// Queries that read keys, with tensor cores: rows of bf16, sums in f32. Keys are the rows of a request's
// history; queries are its candidates, or the history's rows themselves, of which row i sees keys 0..i.
//
// A block of 4 warps has one head and 64 or 128 rows of one side, 16 or 32 a warp, which stay in registers as
// left operands; so do their sums. Tiles of 64 rows of the other side arrive by asynchronous copies, the next
// while one is computed. Tiles and sixteens of rows that hold no pair are left out; where only some pairs
// exist (at the diagonal, at the end) the others are masked.
//   query_mma_kernel   of queries: out, or dQ, over keys
//   key_mma_kernel     of keys: dK and dV, over queries
// Each sum has one owner, without atomics; backward computes scores once for either owner. Where candidates
// are too few to keep a device busy with their histories, several blocks read a part of the keys each, and a
// second kernel adds their sums in order. Weights are rounded to bf16 for the second product.
//
// A rule, given to the device by value, says what weights are:
//   static constexpr float nothing                   the score of pairs that do not exist: their weight is 0
//   float factor(int64_t keys), slope()              what sums of a, and of d besides, are multiplied with
//   of_rows(query, valid, head), of_columns(query, valid, head)
//       for the lane's rows of a group of queries, or its columns of 16 queries; of the result is called
//         void weigh<with_weight, with_gradient>(s, g, a, d)
//       which makes a and d of a group as left operands from scores and their gradients
//   void add_own_keys<gradient, width>(...)          what candidates have for themselves, see there
//
// Shared memory: two tiles of two matrices, 256 rows, 16 to 64 KB. Registers and blocks an SM, as the
// compiler says for sm_90a, are in docs/performance.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "layers/attention/chunks_cuda.h"
#include "layers/attention/query_attention_tiles_cuda.h"
#include "runtime/context.h"
#include "runtime/cuda_kernel_math.h"

namespace lime::cuda {

inline constexpr float log_of_2 = 0.6931471805599453f;

// --- queries

// Queries of one kind.
struct QueriesMma {
  Chunks rows;  // the block's; no requests where there are no queries of this kind
  Matrix<const bf16> q, dout;
  Matrix<bf16> out;  // or dQ
};
// Parts of the keys of candidates, and what blocks make of each where there is more than one: f32 rows for
// block_rows rows of each of `slots` / block_rows chunks, and the state of softmax, if any.
struct KeyParts {
  int64_t count = 1, slots = 0;
  float* sums = nullptr;            // count x slots x d
  Pack<float, 2>* state = nullptr;  // maximum in units of log 2, and sum: count x heads x slots
};
struct QueryCall {
  QueriesMma history, candidates;
  Matrix<const bf16> k, v;
  const int64_t* offsets;  // of the history
  int64_t heads;
  KeyParts parts;
};

// The rows of queries that a warp has, and the keys that they see.
struct WarpQueries {
  int64_t row, first_key;  // of their matrices
  int valid, keys;         // rows that exist: none where it is not positive; keys that the block reads
  bool own_rows;           // of the history
  int diagonal;            // then, the last key that the first row sees

  // Of keys from `first`, counted from first_key: whether none is seen by `rows` rows, and whether not all
  // are.
  __device__ bool none(int first, int rows) const {
    return first >= keys || (own_rows && first > diagonal + rows - 1);
  }
  __device__ bool not_all(int first, int count) const {
    return first + count > keys || (own_rows && first + count - 1 > diagonal);
  }
  __device__ bool sees(int r, int key) const { return key < keys && (!own_rows || key <= diagonal + r); }
};

// The block's queries; blocks of the history's rows come first, the last chunks first as they are the
// longest. Nothing where the chunk is empty.
struct BlockQueries {
  QueriesMma of;
  Chunk chunk;
  int64_t head, part, number;   // the last: of the chunk
  int64_t first_key, all_keys;  // the request's
  int64_t first, last;          // of those, the block's
  bool own_rows;

  __device__ explicit BlockQueries(const QueryCall& call) {
    const int64_t block = blockIdx.x / call.heads, numbers = call.history.rows.numbers();
    own_rows = block < numbers;
    of = own_rows ? call.history : call.candidates;
    part = own_rows ? 0 : (block - numbers) % call.parts.count;
    number = own_rows ? numbers - 1 - block : (block - numbers) / call.parts.count;
    chunk = of.rows.find(number);
    head = blockIdx.x % call.heads;
    first_key = call.offsets[chunk.request], all_keys = call.offsets[chunk.request + 1] - first_key;
    const int64_t parts = own_rows ? 1 : call.parts.count, tiles = (all_keys + tile_rows - 1) / tile_rows,
                  size = (tiles + parts - 1) / parts * tile_rows;
    first = part * size < all_keys ? part * size : all_keys;
    last = own_rows ? chunk.end - first_key : first + size < all_keys ? first + size : all_keys;
  }
  __device__ WarpQueries warp(int groups) const {
    const int mine = static_cast<int>(threadIdx.x) / warp_size * 16 * groups;
    return {chunk.begin + mine,
            first_key + first,
            static_cast<int>(chunk.rows()) - mine,
            static_cast<int>(last - first),
            own_rows,
            static_cast<int>(chunk.begin - first_key) + mine};
  }
};

// Writes the block's sums as a part.
template <int width, int groups>
__device__ void write_part(const RowSums<width> (&sums)[groups], float factor, const QueryCall& call,
                           const BlockQueries& block) {
  const int64_t d = call.heads * width, row = block.number * block_rows(groups) +
                                              static_cast<int>(threadIdx.x) / warp_size * 16 * groups;
#pragma unroll
  for (int n = 0; n < groups; ++n)
    write_link_sums<width>(
        sums[n], factor,
        call.parts.sums + (block.part * call.parts.slots + row + 16 * n) * d + block.head * width, d);
}

// The log-sum-exp of scores of this maximum, in units of log 2, and sum; 0 of none.
__device__ __forceinline__ float lse_of(float maximum, float sum) {
  return sum == 0 ? 0.0f : maximum * log_of_2 + logf(sum);
}

// Calls use(first, r, k, v) for each `step` keys from `first` that the warp's queries see: rows from r of the
// tiles.
template <int width, int step, int groups, typename Use>
__device__ __forceinline__ void each_keys(const QueryCall& call, const WarpQueries& mine, int64_t column,
                                          bf16* memory, Use use) {
  each_tile<width>((mine.keys + tile_rows - 1) / tile_rows, memory,
                   [&](int i, const Swizzled<width>& k, const Swizzled<width>& v) {
                     const int64_t row = mine.first_key + i * tile_rows, left = mine.keys - i * tile_rows;
                     k.load(call.k, row, column, tile_rows, left);
                     v.load(call.v, row, column, tile_rows, left);
                   },
                   [&](int i, const Swizzled<width>& k, const Swizzled<width>& v) {
                     if (mine.valid <= 0) return;
#pragma unroll 1
                     for (int r = 0; r < tile_rows && !mine.none(i * tile_rows + r, 16 * groups); r += step)
                       use(i * tile_rows + r, r, k, v);
                   });
}

// Grid: heads of chunks of queries.
template <int width, int groups, bool gradient, typename Rule>
__global__ void __launch_bounds__(query_warps* warp_size) query_mma_kernel(QueryCall call, Rule rule) {
  bf16* memory = dynamic_shared<bf16>();
  const BlockQueries block(call);
  if (block.chunk.rows() == 0) return;
  const WarpQueries mine = block.warp(groups);
  const int64_t column = block.head * width;
  LeftRows<width, true> q[groups], dout[groups];
  load_left_rows<gradient ? 2 : 1>(memory, block.of.q, block.of.dout, block.chunk.begin, column,
                                   block.chunk.rows(), q, dout);
  decltype(rule.of_rows(0, 0, 0)) weights[groups];
#pragma unroll
  for (int n = 0; n < groups; ++n)
    weights[n] = rule.of_rows(mine.row + 16 * n, mine.valid - 16 * n, block.head);
  RowSums<width> sums[groups] = {};
  each_keys<width, 16, groups>(
      call, mine, column, memory, [&](int first, int r, const Swizzled<width>& k, const Swizzled<width>& v) {
        float s[groups][2][4] = {}, g[groups][2][4] = {};
        mma_scores(q, k, r, s);
        if constexpr (gradient) mma_scores(dout, v, r, g);
        if (mine.not_all(first, 16)) {
#pragma unroll
          for (int n = 0; n < groups; ++n) {
            const auto sees = [&](int row, int j) { return mine.sees(16 * n + row, first + j); };
            mask_pairs(s[n], Rule::nothing, sees);
            if constexpr (gradient) mask_pairs(g[n], 0, sees);
          }
        }
        uint32_t a[groups][4], d[groups][4];
#pragma unroll
        for (int n = 0; n < groups; ++n)
          weights[n].template weigh<!gradient, gradient>(s[n], g[n], a[n], d[n]);
        if constexpr (gradient) {
          mma_accumulate(d, k, r, sums);
        } else {
          mma_accumulate(a, v, r, sums);
        }
      });
  const float factor = rule.factor(block.all_keys);
  if (!block.own_rows && block.part == 0) {
#pragma unroll
    for (int n = 0; n < groups; ++n)
      rule.template add_own_keys<gradient, width>(q[n], dout[n], mine.row + 16 * n, mine.valid - 16 * n,
                                                  column, factor, sums[n]);
  }
  const float by = gradient ? rule.slope() * factor : factor;
  if (!block.own_rows && call.parts.count > 1) {
    write_part<width>(sums, by, call, block);
  } else {
    write_sums<width>(sums, by, memory, block.of.out, block.chunk.begin, block.chunk.rows(), column);
  }
}

// Adds the parts of candidates' sums in order. With the state of softmax, brings them to one maximum, makes
// means of them and writes lse (queries x heads). Grid: numbers of chunks; rows of each in turns.
template <bool softmax>
__global__ void __launch_bounds__(query_warps* warp_size)
    add_parts_kernel(Chunks rows, KeyParts parts, int64_t heads, Matrix<bf16> out, Matrix<float> lse) {
  const Chunk chunk = rows.find(blockIdx.x);
  const int64_t d = out.cols, width = d / heads;
  for (int64_t r = blockIdx.y; r < chunk.rows(); r += gridDim.y) {
    const int64_t slot = blockIdx.x * rows.size + r;
    for (int64_t c = threadIdx.x; c < d; c += blockDim.x) {
      const int64_t head = c / width;
      const auto state = [&](int64_t part) {
        return parts.state[(part * heads + head) * parts.slots + slot];
      };
      float top = 0, total = 0, sum = 0;
      if constexpr (softmax) {
        top = state(0).at[0];
        for (int64_t part = 1; part < parts.count; ++part) top = fmaxf(top, state(part).at[0]);
      }
      for (int64_t part = 0; part < parts.count; ++part) {
        float by = 1;
        if constexpr (softmax) {
          by = fast_exp2(state(part).at[0] - top);
          total = fmaf(by, state(part).at[1], total);
        }
        sum = fmaf(by, parts.sums[(part * parts.slots + slot) * d + c], sum);
      }
      if constexpr (softmax) {
        sum = total == 0 ? 0 : sum / total;
        if (c % width == 0) lse.row(chunk.begin + r)[head] = lse_of(top, total);
      }
      out.row(chunk.begin + r)[c] = from_compute<bf16>(sum);
    }
  }
}

// --- keys

struct KeyCall {
  Chunks rows;  // of the history, the block's
  Matrix<const bf16> k, v;
  Matrix<const bf16> q, dout;  // of the history's rows, or empty
  Matrix<const bf16> candidates_q, candidates_dout;
  const int64_t* candidates;  // offsets
  Matrix<bf16> dk, dv;
  int64_t heads;
};

// Grid: heads of chunks of the history's rows.
template <int width, int groups, typename Rule>
__global__ void __launch_bounds__(query_warps* warp_size) key_mma_kernel(KeyCall call, Rule rule) {
  bf16* memory = dynamic_shared<bf16>();
  const int64_t head = blockIdx.x % call.heads, column = head * width;
  const Chunk chunk = call.rows.find(blockIdx.x / call.heads);
  if (chunk.rows() == 0) return;
  const int mine = static_cast<int>(threadIdx.x) / warp_size * 16 * groups;
  const bool idle = mine >= chunk.rows();
  // Queries: the history's own rows from the block's first key on, then the candidates.
  const int64_t first_candidate = call.candidates[chunk.request];
  const int own = call.q.cols > 0 ? static_cast<int>(call.rows.offsets[chunk.request + 1] - chunk.begin) : 0,
            candidates = static_cast<int>(call.candidates[chunk.request + 1] - first_candidate),
            own_tiles = (own + tile_rows - 1) / tile_rows,
            candidate_tiles = (candidates + tile_rows - 1) / tile_rows;

  LeftRows<width, true> k[groups], v[groups];
  load_left_rows<2>(memory, call.k, call.v, chunk.begin, column, chunk.rows(), k, v);
  RowSums<width> dk[groups] = {}, dv[groups] = {};
  each_tile<width>(
      own_tiles + candidate_tiles, memory,
      [&](int i, const Swizzled<width>& q, const Swizzled<width>& dout) {
        const bool of_history = i < own_tiles;
        const int done = (of_history ? i : i - own_tiles) * tile_rows,
                  left = (of_history ? own : candidates) - done;
        const int64_t row = (of_history ? chunk.begin : first_candidate) + done;
        q.load(of_history ? call.q : call.candidates_q, row, column, tile_rows, left);
        dout.load(of_history ? call.dout : call.candidates_dout, row, column, tile_rows, left);
      },
      [&](int i, const Swizzled<width>& q, const Swizzled<width>& dout) {
        if (idle) return;
        const bool of_history = i < own_tiles;
        const int done = (of_history ? i : i - own_tiles) * tile_rows, count = of_history ? own : candidates;
#pragma unroll 1
        for (int r = 0; r < tile_rows && done + r < count; r += 16) {
          const int first = done + r;  // of queries; a query of the history sees keys up to its own place
          if (of_history && first < mine) continue;
          float s[groups][2][4] = {}, g[groups][2][4] = {};
          mma_scores(k, q, r, s);
          mma_scores(v, dout, r, g);
          if (first + 16 > count || (of_history && first < mine + 16 * groups - 1)) {
#pragma unroll
            for (int n = 0; n < groups; ++n) {
              const auto seen = [&](int row, int j) {
                return first + j < count && (!of_history || first + j >= mine + 16 * n + row);
              };
              mask_pairs(s[n], Rule::nothing, seen);
              mask_pairs(g[n], 0, seen);
            }
          }
          const auto weights = rule.of_columns(first_candidate + first, count - first, head);
          uint32_t a[groups][4], d[groups][4];
#pragma unroll
          for (int n = 0; n < groups; ++n) weights.template weigh<true, true>(s[n], g[n], a[n], d[n]);
          mma_accumulate(d, q, r, dk);
          mma_accumulate(a, dout, r, dv);
        }
      });
  const float factor = rule.factor(chunk.length);
  write_sums<width>(dk, rule.slope() * factor, memory, call.dk, chunk.begin, chunk.rows(), column);
  write_sums<width>(dv, factor, memory + block_rows(groups) * width, call.dv, chunk.begin, chunk.rows(),
                    column);
}

// --- host

// Whether these kernels take heads of this width and all of these views.
inline bool takes_query_mma(int64_t width, std::initializer_list<const ConstView*> views) {
  bool takes = width == 32 || width == 64 || width == 128;
  for (const ConstView* v : views)
    takes = takes && (v->empty() || (v->dtype() == DType::bf16 && whole_packs(*v)));
  return takes;
}

// Calls f.operator()<width>().
template <typename F>
void with_mma_width(int64_t width, F f) {
  width == 32   ? f.template operator()<32>()
  : width == 64 ? f.template operator()<64>()
                : f.template operator()<128>();
}

constexpr size_t query_shared_bytes(int width) {
  return static_cast<size_t>(4 * tile_rows * width) * sizeof(bf16);
}

inline Chunks all_rows(const Jagged& rows, int groups) {
  return make_chunks(rows, 0, rows.rows(), block_rows(groups));
}
inline Chunks no_rows() { return {nullptr, nullptr, 0, 0, 0, 1, 0}; }

// Launches a kernel for the queries of a call, whose keys are the rows of `history`. Sets the call's parts:
// as many as fill the device, of 256 keys and more, a function of the shapes alone.
template <int width, bool softmax, typename Rule>
void launch_queries(Context& ctx, const char* name, void (*kernel)(QueryCall, Rule), const Jagged& history,
                    QueryCall call, const Rule& rule, const Matrix<float>& lse = {}) {
  constexpr int64_t wanted_blocks = 256, fewest_keys = 256;
  const Chunks& candidates = call.candidates.rows;
  const int64_t of_history = call.history.rows.numbers(), of_candidates = candidates.numbers(),
                keys = history.rows() / std::max<int64_t>(1, history.segments());
  const int64_t parts = std::min(
      wanted_blocks / std::max<int64_t>(1, (of_history + of_candidates) * call.heads), keys / fewest_keys);
  const Arena::Scope scope(ctx.arena());
  if (parts > 1) {
    const int64_t slots = of_candidates * candidates.size;
    call.parts = {parts, slots,
                  ctx.arena().alloc(DType::f32, parts * slots, call.heads * width).data<float>(), nullptr};
    if constexpr (softmax)
      call.parts.state = reinterpret_cast<Pack<float, 2>*>(
          ctx.arena().alloc(DType::f32, parts * call.heads * slots, 2).data<float>());
  }
  const int64_t blocks = (of_history + of_candidates * call.parts.count) * call.heads;
  launch(ctx, name, kernel, dim3(static_cast<uint32_t>(blocks)), dim3(query_warps * warp_size),
         query_shared_bytes(width), call, rule);
  if (parts > 1)
    launch(ctx, name, add_parts_kernel<softmax>, dim3(static_cast<uint32_t>(of_candidates), 16),
           dim3(query_warps * warp_size), 0, candidates, call.parts, call.heads, call.candidates.out, lse);
}

template <int width, typename Rule>
void launch_keys(Context& ctx, const char* name, void (*kernel)(KeyCall, Rule), const KeyCall& call,
                 const Rule& rule) {
  launch(ctx, name, kernel, dim3(static_cast<uint32_t>(call.rows.numbers() * call.heads)),
         dim3(query_warps * warp_size), query_shared_bytes(width), call, rule);
}

}  // namespace lime::cuda
