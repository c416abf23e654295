// Which rows the blocks of attention kernels find, for more requests than a warp looks at in one step.
#include <algorithm>

#include "layers/attention/chunks_cuda.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

class AttentionChunks : public DeviceTest {
 protected:
  AttentionChunks() : DeviceTest({DeviceType::cuda, 0}) {}
};

__global__ void find_kernel(Chunks chunks, Matrix<int64_t> found) {
  const Chunk chunk = chunks.find(blockIdx.x);
  if (threadIdx.x != 0) return;
  int64_t* row = found.row(blockIdx.x);
  row[0] = chunk.request, row[1] = chunk.begin, row[2] = chunk.end, row[3] = chunk.length;
  row[4] = chunk.alone;
}

TEST_F(AttentionChunks, EveryRowHasOneBlock) {
  constexpr int64_t size = 2;
  for (const int64_t requests : {1, 31, 32, 33, 70, 1100}) {
    std::vector<int64_t> offsets{0};
    for (int64_t b = 0; b < requests; ++b) offsets.push_back(offsets.back() + (b % 5 == 3 ? 0 : b % 8));
    offsets.back() += 5;
    const int64_t all = offsets.back(), first = all / 3, rows = all - first - all / 8;  // a tile
    const Tensor on_device(ctx.device(), DType::i64, 1, requests + 1);
    copy(ctx, ConstView(offsets.data(), 1, requests + 1), on_device);
    const Chunks chunks = make_chunks(Jagged(offsets, on_device.view().data<int64_t>()), first, rows, size);
    const Tensor found(ctx.device(), DType::i64, chunks.numbers(), 5);
    launch(ctx, "find", find_kernel, dim3(static_cast<uint32_t>(chunks.numbers())), dim3(32), 0, chunks,
           matrix<int64_t>(found.view()));
    const auto got = to_host<int64_t>(ctx, found.view());
    int64_t next = 0;
    std::vector<int64_t> count(static_cast<size_t>(requests));
    for (size_t n = 0; n < got.size(); n += 5) {
      const int64_t *chunk = &got[n], request = chunk[0], begin = chunk[1], end = chunk[2];
      if (begin == end) continue;  // a number without rows
      const auto b = static_cast<size_t>(request);
      const int64_t from = std::max<int64_t>(0, offsets[b] - first),
                    to = std::min(rows, offsets[b + 1] - first);
      EXPECT_EQ(begin, next);
      EXPECT_LE(from, begin);
      EXPECT_EQ(end, std::min(begin + size, to));
      EXPECT_EQ((begin - from) % size, 0);
      EXPECT_EQ(chunk[3], offsets[b + 1] - offsets[b]);
      EXPECT_EQ(chunk[4], to - from <= size);
      next = end;
      ++count[b];
    }
    EXPECT_EQ(chunks.most, *std::max_element(count.begin(), count.end()));
    EXPECT_EQ(next, rows) << requests << " requests";
  }
}

}  // namespace
}  // namespace lime::cuda
