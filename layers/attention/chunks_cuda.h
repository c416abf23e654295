// How attention kernels split jagged histories over blocks, and the second pass, which adds the chunks' sums.
//
// The rows of a tile are split in chunks of `size` rows that end where their request does. Request b's chunks
// are numbered from begin(b) / size + b: this leaves room for all of them, so that a block finds its rows
// from its number and the offsets alone, without a table. Some numbers have no rows.
#pragma once

#include <algorithm>

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
  int64_t length;               // of the whole history, also where the batch has a part of it
  bool alone;                   // the request has no other rows in the tile
  __device__ int64_t rows() const { return end - begin; }
};

struct Chunks {
  const int64_t *offsets, *whole;  // on the device; `whole` differs where histories are parts of longer ones
  int64_t requests, first, rows, size;
  int64_t most;  // chunks of a request

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
  // All lanes of the warp call: they look at 32 requests at a time, as each look waits for memory before the
  // block can begin.
  __device__ Chunk find(int64_t which) const {
    int64_t low = 0, high = requests;  // number(low) <= which < number(high)
    while (high - low > 1) {
      const int64_t step = (high - low + warp_size - 1) / warp_size,
                    mine = low + thread_in_block() % warp_size * step;
      const uint32_t before = __ballot_sync(all_lanes, mine < high && number(mine) <= which);
      low += (__popc(before) - 1) * step;  // lane 0 looks at `low`
      high = low + step < high ? low + step : high;
    }
    const int64_t first_row = begin(low), last = begin(low + 1);
    const int64_t from = first_row + (which - number(low)) * size;
    return {low, from < last ? from : last, from + size < last ? from + size : last,
            whole[low + 1] - whole[low], last - first_row <= size};
  }
};

// `whole`: by its lengths, the histories of which the batch has a part; none: it has them whole.
inline Chunks make_chunks(const Jagged& history, int64_t first, int64_t rows, int64_t size,
                          const Jagged& whole = {}) {
  int64_t longest = 0;
  for (int64_t b = 0; b < history.segments(); ++b)
    longest = std::max(
        longest, std::min(rows, history.end(b) - first) - std::max<int64_t>(0, history.begin(b) - first));
  const int64_t requests = history.segments(), most = (longest + size - 1) / size;
  const int64_t* lengths = whole.segments() > 0 ? whole.device() : history.device();
  return {history.device(), lengths, requests, first, rows, size, most};
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

inline constexpr int most_link_sums = 3, sum_threads = 256;

template <typename T>
struct LinkSums {
  Matrix<T> at[most_link_sums];  // requests*links x d
};

// Sum s of link i, column c, of the chunk (or its part) n is partial[((s * numbers * parts + n) * links + i)
// * d + c]. Added to what is there, in order, where there are at least `fewest` (parts of) chunks. A thread
// has one column of one link. Grid: requests, 256 columns of all their links, sums.
template <typename T, typename A = Compute<T>>
__global__ void __launch_bounds__(sum_threads)
    add_chunks_kernel(Chunks chunks, int64_t links, int64_t parts, int64_t fewest, const A* partial,
                      LinkSums<T> sums) {
  const Matrix<T> out = blockIdx.z == 0 ? sums.at[0] : blockIdx.z == 1 ? sums.at[1] : sums.at[2];
  const int64_t request = blockIdx.x, i = int64_t{blockIdx.y} * sum_threads + threadIdx.x,
                size = links * out.cols, count = chunks.count(request) * parts;
  if (count < fewest || i >= size) return;
  const A* from = partial + (blockIdx.z * chunks.numbers() + chunks.number(request)) * parts * size + i;
  A sum = 0;
#pragma unroll 8
  for (int64_t n = 0; n < count; ++n) sum += from[n * size];
  T& to = out.row(request * links + i / out.cols)[i % out.cols];
  to = from_compute<T>(to_compute(to) + sum);
}

template <typename T>
void add_chunks(Context& ctx, const char* name, const Chunks& chunks, int64_t links, int64_t parts,
                int64_t fewest, const Compute<T>* partial, const LinkSums<T>& sums, int count) {
  if (chunks.most * parts < fewest) return;
  const dim3 grid(static_cast<uint32_t>(chunks.requests), divide_up(links * sums.at[0].cols, sum_threads),
                  static_cast<uint32_t>(count));
  launch(ctx, name, add_chunks_kernel<T>, grid, dim3(sum_threads), 0, chunks, links, parts, fewest, partial,
         sums);
}

}  // namespace lime::cuda
