// Queries that read keys, for kernels of any type and shape: sums of sums_cuda.h in which the rows
// of a request's history are the keys, and its candidates, or the history's rows themselves, the queries.
//
//   sums of queries  x = (Q, dO)  y = (K, V)    out, or dQ
//   sums of keys     x = (K, V)   y = (Q, dO)   dK, dV
// A block owns 32 rows of x, 64 columns of a head, and reads all of y that a request has: no sum is split,
// and none is added to by another block. Where queries are the history's own rows, those see no later key:
// steps of 32 rows that hold no pair are left out.
//
// Weights come from a Rule, given to the device by value: rule.of(history rows of the request, head), called
// once a block, returns what is called for each pair that exists:
//   void operator()(int64_t query, A s, A g, A& a, A& d) const       query: row of its matrix
#pragma once

#include "layers/attention/sums_cuda.h"
#include "runtime/cuda_kernel_math.h"

namespace lime::cuda {

// a = f SiLU(x), d = f SiLU'(x) g / sqrt(w), of x = s / sqrt(w), with f = 1 / (history rows + 1).
template <typename A>
struct SiluRule {
  A slope, factor;
  __device__ SiluRule of(int64_t length, int64_t) const { return {slope, 1 / static_cast<A>(length + 1)}; }
  __device__ void operator()(int64_t, A s, A g, A& a, A& d) const {
    a = factor * silu(slope * s);
    d = factor * slope * silu_slope(slope * s) * g;
  }
};

// a = exp(x - lse), d = a (g - delta) / sqrt(w), of x = s / sqrt(w).
template <typename A>
struct SoftmaxRule {
  A slope;
  Matrix<const A> lse, delta;  // queries x heads
  int64_t head;
  __device__ SoftmaxRule of(int64_t, int64_t h) const { return {slope, lse, delta, h}; }
  __device__ void operator()(int64_t query, A s, A g, A& a, A& d) const {
    const A x = slope * s - lse.row(query)[head];
    a = exponential(x > 0 ? A(0) : x);  // large scores round by more than 1
    d = slope * a * (g - delta.row(query)[head]);
  }
};

// One kind of queries of a call.
template <typename T>
struct Queries {
  Matrix<const T> q, dout;
  const int64_t* offsets;  // on the device
  bool own_rows;           // of the history: query i sees keys 0..i
};
// The keys that queries have for themselves beside the history's; empty where they have none.
template <typename T>
struct OwnKeys {
  Matrix<const T> k, v;
  Matrix<T> dk, dv;
};

template <typename T>
__device__ Compute<T> dot_product(const T* a, const T* b, int64_t n) {
  Compute<T> sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += to_compute(a[i]) * to_compute(b[i]);
  return sum;
}

// Grid: chunks of 32 queries; heads; 64 columns of a head each.
template <typename T, bool gradient, typename Rule, typename A = Compute<T>>
__global__ void __launch_bounds__(256)
    query_sums_kernel(Chunks chunks, const int64_t* history, int64_t width, Queries<T> queries,
                      Matrix<const T> k, Matrix<const T> v, Rule rule, OwnKeys<T> own, Matrix<T> out) {
  __shared__ Square<T> xs, ys, square0, square1;
  __shared__ A own_weight[square], own_gradient[square];
  const Chunk chunk = chunks.find(blockIdx.x);
  if (chunk.rows() == 0) return;
  const int64_t first_key = history[chunk.request], keys = history[chunk.request + 1] - first_key;
  const int64_t first = int64_t{blockIdx.z} * sum_columns, column = int64_t{blockIdx.y} * width;
  const int64_t place = chunk.begin - first_key;  // of own rows
  const SquareRows at{chunk.begin, chunk.rows(), 0, 0, column, width};
  const auto weigh = rule.of(keys, int64_t{blockIdx.y});
  BlockSums<A> sum0 = {}, sum1 = {};
  add_rows<gradient, !gradient>(
      AttentionSides<T>{queries.q, queries.dout, k, v}, at, first_key,
      queries.own_rows ? place + chunk.rows() : keys, first,
      [&](int64_t x, int64_t y, A s, A g, A& a, A& d) {
        if (!queries.own_rows || y <= place + x) weigh(chunk.begin + x, s, g, a, d);
      },
      xs, ys, square0, square1, sum0, sum1);
  const bool with_own = own.k.cols > 0;
  const uint32_t thread = thread_in_block();
  if (with_own && thread < square && thread < chunk.rows()) {
    const int64_t row = chunk.begin + thread;
    const A s = dot_product(queries.q.row(row) + column, own.k.row(row) + column, width);
    A g = 0;
    if constexpr (gradient) g = dot_product(queries.dout.row(row) + column, own.v.row(row) + column, width);
    weigh(row, s, g, own_weight[thread], own_gradient[thread]);
  }
  __syncthreads();
  each_sum<T>(gradient ? sum0 : sum1, at, first, [&](int64_t x, int64_t c, A sum) {
    const int64_t row = chunk.begin + x, col = column + c;
    if (with_own) {
      sum += gradient ? own_gradient[x] * to_compute(own.k.row(row)[col])
                      : own_weight[x] * to_compute(own.v.row(row)[col]);
      if constexpr (gradient) {
        own.dk.row(row)[col] = from_compute<T>(own_gradient[x] * to_compute(queries.q.row(row)[col]));
        own.dv.row(row)[col] = from_compute<T>(own_weight[x] * to_compute(queries.dout.row(row)[col]));
      }
    }
    out.row(row)[col] = from_compute<T>(sum);
  });
}

// Grid: chunks of 32 keys; heads; 64 columns of a head each. `more` are other queries of the same keys.
template <typename T, typename Rule, typename A = Compute<T>>
__global__ void __launch_bounds__(256)
    key_sums_kernel(Chunks chunks, int64_t width, Queries<T> queries, Queries<T> more, Matrix<const T> k,
                    Matrix<const T> v, Rule rule, Matrix<T> dk, Matrix<T> dv) {
  __shared__ Square<T> xs, ys, square0, square1;
  const Chunk chunk = chunks.find(blockIdx.x);
  if (chunk.rows() == 0) return;
  const int64_t first = int64_t{blockIdx.z} * sum_columns, column = int64_t{blockIdx.y} * width;
  const SquareRows at{chunk.begin, chunk.rows(), 0, 0, column, width};
  const auto weigh = rule.of(chunk.length, int64_t{blockIdx.y});
  BlockSums<A> sum0 = {}, sum1 = {};
  const auto add = [&](const Queries<T>& from) {
    if (from.q.cols == 0) return;
    const int64_t begin = from.own_rows ? chunk.begin : from.offsets[chunk.request];
    add_rows<true, true>(
        AttentionSides<T>{k, v, from.q, from.dout}, at, begin, from.offsets[chunk.request + 1] - begin, first,
        [&](int64_t x, int64_t y, A s, A g, A& a, A& d) {
          if (!from.own_rows || y >= x) weigh(begin + y, s, g, a, d);
        },
        xs, ys, square0, square1, sum0, sum1);
  };
  add(queries);
  add(more);
  each_sum<T>(sum0, at, first, [&](int64_t x, int64_t c, A sum) {
    dk.row(chunk.begin + x)[column + c] = from_compute<T>(sum);
  });
  each_sum<T>(sum1, at, first, [&](int64_t x, int64_t c, A sum) {
    dv.row(chunk.begin + x)[column + c] = from_compute<T>(sum);
  });
}

// --- host
// ---------------------------------------------------------------------------------------------------------------

inline dim3 square_grid(const Chunks& chunks, int64_t heads, int64_t width) {
  return dim3(static_cast<uint32_t>(chunks.numbers()), static_cast<uint32_t>(heads),
              divide_up(width, sum_columns));
}

// out, or dQ, of all queries of one kind, which are the rows of `rows`.
template <typename T, bool gradient, typename Rule>
void query_sums(Context& ctx, const char* name, const Jagged& rows, const Jagged& history, int64_t heads,
                const Queries<T>& queries, const Matrix<const T>& k, const Matrix<const T>& v,
                const Rule& rule, const OwnKeys<T>& own, const Matrix<T>& out) {
  const Chunks chunks = make_chunks(rows, 0, rows.rows(), square);
  launch(ctx, name, query_sums_kernel<T, gradient, Rule>, square_grid(chunks, heads, k.cols / heads),
         square_threads, 0, chunks, history.device(), k.cols / heads, queries, k, v, rule, own, out);
}

template <typename T, typename Rule>
void key_sums(Context& ctx, const char* name, const Jagged& history, int64_t heads, const Queries<T>& queries,
              const Queries<T>& more, const Matrix<const T>& k, const Matrix<const T>& v, const Rule& rule,
              const Matrix<T>& dk, const Matrix<T>& dv) {
  const Chunks chunks = make_chunks(history, 0, history.rows(), square);
  launch(ctx, name, key_sums_kernel<T, Rule>, square_grid(chunks, heads, k.cols / heads), square_threads, 0,
         chunks, k.cols / heads, queries, more, k, v, rule, dk, dv);
}

}  // namespace lime::cuda
