// How attention kernels split jagged histories over blocks, and the second pass, which adds the chunks' sums.
//
// The rows of a tile are split in chunks of `size` rows that end where their request does. Request b's chunks
// are numbered from begin(b) / size + b: this leaves room for all of them, so that a block finds its rows
// from its number and the offsets alone, without a table. Some numbers have no rows.
#pragma once

#include "runtime/cuda_kernel.h"
#include "runtime/jagged.h"

namespace lime::cuda {

// matrix<T>(view), or none for a view without columns: rows that a call is without.
template <typename T>
Matrix<T> matrix_if_any(const auto& view) {
  return view.cols() > 0 ? matrix<T>(view) : Matrix<T>{};
}

struct Chunk {
  int64_t request, begin, end;  // rows of the tile, none if begin = end
  int64_t length;               // of the whole history
  bool alone;                   // the request has no other rows in the tile
  __device__ int64_t rows() const { return end - begin; }
};

struct Chunks {
  const int64_t* offsets;  // on the device
  int64_t requests, first, rows, size;

  __host__ __device__ int64_t numbers() const { return rows / size + requests; }
  // Of the request's rows in the tile.
  __device__ int64_t begin(int64_t request) const {
    const int64_t row = offsets[request] - first;
    return row < 0 ? 0 : row > rows ? rows : row;
  }
  __device__ int64_t number(int64_t request) const { return begin(request) / size + request; }
  __device__ int64_t count(int64_t request) const {
    return (begin(request + 1) - begin(request) + size - 1) / size;
  }
  __device__ Chunk find(int64_t which) const {
    int64_t low = 0, high = requests;  // number(low) <= which < number(high)
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (number(middle) <= which ? low : high) = middle;
    }
    const int64_t first_row = begin(low), last = begin(low + 1);
    const int64_t from = first_row + (which - number(low)) * size;
    return {low, from < last ? from : last, from + size < last ? from + size : last,
            offsets[low + 1] - offsets[low], last - first_row <= size};
  }
};

inline Chunks make_chunks(const Jagged& history, int64_t first, int64_t rows, int64_t size) {
  return {history.device(), history.segments(), first, rows, size};
}

// Rows a chunk where links own the sums: long, so that there are few sums to add, but short enough to fill
// the device with long histories of few requests. A power of two.
inline int64_t chunk_size(int64_t rows, int64_t heads) {
  constexpr int64_t shortest = 256, longest = 2048, wanted_blocks = 512;
  int64_t size = longest;
  while (size > shortest && rows * heads / size < wanted_blocks) size /= 2;
  return size;
}

// --- sums of links over chunks
// ------------------------------------------------------------------------------------------

inline constexpr int most_link_sums = 3, sum_cols = 32, sum_threads = 8;

template <typename T>
struct LinkSums {
  Matrix<T> at[most_link_sums];  // requests*links x d
};

// Sum s of link i, column c, of the chunk (or its part) n is partial[((s * numbers * parts + n) * links + i)
// * d + c]. Added to what is there, in the order of threads that take every eighth chunk,
// where there are at least `fewest` (parts of) chunks.
template <typename T, typename A = Compute<T>>
__global__ void add_chunks_kernel(Chunks chunks, int64_t links, int64_t parts, int64_t fewest,
                                  const A* partial, LinkSums<T> sums) {
  __shared__ A of_thread[sum_threads][sum_cols];
  const Matrix<T> out = blockIdx.z == 0 ? sums.at[0] : blockIdx.z == 1 ? sums.at[1] : sums.at[2];
  const int64_t row = blockIdx.x, request = row / links, c = int64_t{blockIdx.y} * sum_cols + threadIdx.x;
  const int64_t sum_rows = chunks.numbers() * parts, count = chunks.count(request) * parts;
  if (count < fewest) return;
  const A* from =
      partial + ((blockIdx.z * sum_rows + chunks.number(request) * parts) * links + row % links) * out.cols +
      c;
  A sum = 0;
  if (c < out.cols)
    for (int64_t n = threadIdx.y; n < count; n += sum_threads) sum += from[n * links * out.cols];
  of_thread[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= out.cols) return;
  A total = 0;
  for (int t = 0; t < sum_threads; ++t) total += of_thread[t][threadIdx.x];
  out.row(row)[c] = from_compute<T>(to_compute(out.row(row)[c]) + total);
}

template <typename T>
void add_chunks(Context& ctx, const char* name, const Chunks& chunks, int64_t links, int64_t parts,
                int64_t fewest, const Compute<T>* partial, const LinkSums<T>& sums, int count) {
  const dim3 grid(static_cast<uint32_t>(chunks.requests * links), divide_up(sums.at[0].cols, sum_cols),
                  static_cast<uint32_t>(count));
  launch(ctx, name, add_chunks_kernel<T>, grid, dim3(sum_cols, sum_threads), 0, chunks, links, parts, fewest,
         partial, sums);
}

}  // namespace lime::cuda
