// runtime/device_sort.h by CUB.
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include <utility>

#include "runtime/cuda_kernel.h"
#include "runtime/device_sort.h"

namespace lime::cuda {

namespace {

// CUB's way: asked once for the size of its scratch memory, then to work.
template <typename Call>
void with_scratch(Context& ctx, const char* name, Call call) {
  ctx.stream().activate();
  const Arena::Scope scope(ctx.arena());
  void* scratch = nullptr;
  size_t bytes = 0;
  for (int pass = 0; pass < 2; ++pass) {
    if (pass == 1) scratch = ctx.arena().alloc(DType::i64, 1, static_cast<int64_t>(bytes + 7) / 8).raw();
    const cudaError_t status = call(scratch, bytes, static_cast<cudaStream_t>(ctx.stream().handle()));
    if (status != cudaSuccess) throw_failure(name, status);
  }
}

}  // namespace

void sort_pairs(Context& ctx, KeyValues& pairs, KeyValues& other, int64_t count, int first_bit,
                int last_bit) {
  if (count == 0 || first_bit >= last_bit) return;
  cub::DoubleBuffer<uint64_t> keys(pairs.keys, other.keys);
  cub::DoubleBuffer<uint32_t> values(pairs.values, other.values);
  with_scratch(ctx, "radix sort", [&](void* scratch, size_t& bytes, cudaStream_t stream) {
    return cub::DeviceRadixSort::SortPairs(scratch, bytes, keys, values, static_cast<int>(count), first_bit,
                                           last_bit, stream);
  });
  if (keys.selector != 0) std::swap(pairs.keys, other.keys);
  if (values.selector != 0) std::swap(pairs.values, other.values);
}

void running_sums(Context& ctx, const uint64_t* values, uint64_t* sums, int64_t count) {
  if (count == 0) return;
  with_scratch(ctx, "running sums", [&](void* scratch, size_t& bytes, cudaStream_t stream) {
    return cub::DeviceScan::InclusiveSum(scratch, bytes, values, sums, static_cast<int>(count), stream);
  });
}

}  // namespace lime::cuda
