// CUB of the emulated device: toolkit/cub. As with the library, the result of a sort may be in either memory:
// here it is wherever an odd or even number of passes leaves it.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "runtime/emulator/cuda_runtime.h"
#include "runtime/emulator/memory.h"
#include "runtime/emulator/toolkit/cub/device/device_radix_sort.cuh"
#include "runtime/emulator/toolkit/cub/device/device_scan.cuh"

namespace {

using namespace lime::emulator;
using lime::str;

constexpr int digit_bits = 8;
constexpr size_t scratch_bytes = 767;  // of a size that nobody's alignment divides

void check_memory(const void* memory, int count, size_t element) {
  must(is_device_memory(memory, static_cast<size_t>(count) * element),
       "a sort or sum is given memory that is not the device's");
}

// The library launches kernels, which use the scratch memory; and it looks at what a launch left behind, be
// it somebody else's.
template <typename Work>
cudaError_t start(const char* what, void* scratch, size_t bytes, cudaStream_t stream, Work work) {
  if (bytes < scratch_bytes)
    return refuse(cudaErrorInvalidValue, str(bytes, " bytes of scratch memory, of ", scratch_bytes));
  check_memory(scratch, static_cast<int>(scratch_bytes), 1);
  if (const cudaError_t status = must_be_current(stream, what); status != cudaSuccess) return status;
  give(stream, [=] {
    const Access access;
    std::memset(scratch, 0xa5, scratch_bytes);
    work();
  });
  return cudaPeekAtLastError();
}

}  // namespace

cudaError_t cub::DeviceRadixSort::SortPairs(void* scratch, size_t& bytes, DoubleBuffer<uint64_t>& keys,
                                            DoubleBuffer<uint32_t>& values, int count, int begin_bit,
                                            int end_bit, cudaStream_t stream) {
  if (!scratch) return bytes = scratch_bytes, cudaSuccess;
  must(count > 0 && 0 <= begin_bit && begin_bit < end_bit && end_bit <= 64,
       str("a sort of ", count, " keys by bits ", begin_bit, " to ", end_bit));
  for (int i = 0; i < 2; ++i) {
    check_memory(keys.d_buffers[i], count, sizeof(uint64_t));
    check_memory(values.d_buffers[i], count, sizeof(uint32_t));
  }
  uint64_t *const from_keys = keys.Current(), *const to_keys = keys.Alternate();
  uint32_t *const from_values = values.Current(), *const to_values = values.Alternate();
  const bool back = (end_bit - begin_bit + digit_bits - 1) / digit_bits % 2 == 0;
  if (!back) keys.selector ^= 1, values.selector ^= 1;
  return start("a sort", scratch, bytes, stream, [=] {
    const auto n = static_cast<size_t>(count);
    const uint64_t mask = end_bit == 64 ? ~uint64_t{0} : (uint64_t{1} << end_bit) - 1;
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return (from_keys[a] & mask) >> begin_bit < (from_keys[b] & mask) >> begin_bit;
    });
    for (size_t i = 0; i < n; ++i) {
      to_keys[i] = from_keys[order[i]];
      to_values[i] = from_values[order[i]];
    }
    if (back) {
      std::copy_n(to_keys, n, from_keys);
      std::copy_n(to_values, n, from_values);
    }
    std::fill_n(back ? to_keys : from_keys, n, ~uint64_t{0});
    std::fill_n(back ? to_values : from_values, n, ~uint32_t{0});
  });
}

cudaError_t cub::DeviceScan::InclusiveSum(void* scratch, size_t& bytes, const uint64_t* values,
                                          uint64_t* sums, int count, cudaStream_t stream) {
  if (!scratch) return bytes = scratch_bytes, cudaSuccess;
  must(count > 0, str("sums of ", count, " values"));
  check_memory(values, count, sizeof(uint64_t));
  check_memory(sums, count, sizeof(uint64_t));
  return start("running sums", scratch, bytes, stream, [=] {
    uint64_t sum = 0;
    for (int64_t i = 0; i < count; ++i) sums[i] = sum += values[i];
  });
}
