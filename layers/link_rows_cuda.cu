// Rows of links: a thread has 16 bytes of a row.
#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

namespace {

template <typename T>
struct AddRequestRows {
  Matrix<const T> links, requests;
  Matrix<T> y;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    Compute<T> l[N], q[N];
    load(links.row(r % links.rows) + c, l);
    load(requests.row(r / links.rows) + c, q);
    for (int i = 0; i < N; ++i) l[i] += q[i];
    store(l, y.row(r) + c);
  }
};

template <typename T>
struct AddLinks {
  Matrix<const T> links;
  Matrix<T> y;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    Compute<T> l[N], x[N];
    load(links.row(r % links.rows) + c, l);
    load(y.row(r) + c, x);
    for (int i = 0; i < N; ++i) x[i] += l[i];
    store(x, y.row(r) + c);
  }
};

// All links of a request as one row: sums over requests are column sums.
template <int N, typename T>
struct RequestAsRow {
  Matrix<const T> dy;
  int64_t links;
  __device__ void operator()(int64_t b, int64_t c, Compute<T> (&sum)[1][N]) const {
    Compute<T> g[N];
    load(dy.row(b * links + c / dy.cols) + c % dy.cols, g);
    for (int i = 0; i < N; ++i) sum[0][i] += g[i];
  }
};

template <typename T>
struct SumOverLinks {
  Matrix<const T> dy;
  Matrix<T> drequests;
  int64_t links;
  template <int N>
  __device__ void at(int64_t b, int64_t c) const {
    Compute<T> sum[N] = {};
    for (int64_t r = b * links; r < (b + 1) * links; ++r) {
      Compute<T> g[N];
      load(dy.row(r) + c, g);
      for (int i = 0; i < N; ++i) sum[i] += g[i];
    }
    store(sum, drequests.row(b) + c);
  }
};

}  // namespace

void add_request_rows(Context& ctx, const ConstView& links, const ConstView& requests, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "add_request_rows",
                 AddRequestRows<T>{matrix<const T>(links), matrix<const T>(requests), matrix<T>(y)},
                 {y, links, requests});
  });
}

void add_links(Context& ctx, const ConstView& links, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "add_links", AddLinks<T>{matrix<const T>(links), matrix<T>(y)}, {y, links});
  });
}

void sum_over_requests(Context& ctx, const ConstView& dy, View dlinks) {
  const int64_t links = dlinks.rows();
  with_row_type(dy.dtype(), [&]<typename T>(T) {
    with_pack_width<T>({dy}, [&]<int N>() {
      column_sums_of_packs<1, N, Compute<T>>(
          ctx, "sum_over_requests", RequestAsRow<N, T>{matrix<const T>(dy), links}, dy.rows() / links,
          dlinks.size(), true, {dlinks.data<Compute<T>>()});
    });
  });
}

void sum_over_links(Context& ctx, const ConstView& dy, View drequests) {
  if (drequests.empty()) return;
  with_row_type(dy.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "sum_over_links",
                 SumOverLinks<T>{matrix<const T>(dy), matrix<T>(drequests), dy.rows() / drequests.rows()},
                 {drequests, dy});
  });
}

}  // namespace lime::cuda
