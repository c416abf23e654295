// runtime/device_sort.h on the emulated device. As with the library, the result of a sort may be in either
// memory: here it is wherever an odd or even number of passes would have left it.
#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "runtime/device_sort.h"
#include "runtime/emulator/memory.h"
#include "runtime/emulator/work.h"
#include "runtime/error.h"

namespace lime::cuda {

namespace {

constexpr int digit_bits = 8;

void check_memory(const void* memory, int64_t count, size_t element) {
  LIME_CHECK(emulator::is_device_memory(memory, static_cast<size_t>(count) * element),
             "a sort or sum is given memory that is not the device's");
}

}  // namespace

void sort_pairs(Context& ctx, KeyValues& pairs, KeyValues& other, int64_t count, int first_bit,
                int last_bit) {
  if (count == 0 || first_bit >= last_bit) return;
  for (const KeyValues& memory : {pairs, other}) {
    check_memory(memory.keys, count, sizeof(uint64_t));
    check_memory(memory.values, count, sizeof(uint32_t));
  }
  KeyValues from = pairs, to = other;
  const bool back = (last_bit - first_bit + digit_bits - 1) / digit_bits % 2 == 0;
  if (!back) std::swap(pairs, other);
  emulator::give(ctx.stream().handle(), [=] {
    const emulator::Access access;
    const auto n = static_cast<size_t>(count);
    const uint64_t mask = last_bit >= 64 ? ~uint64_t{0} : (uint64_t{1} << last_bit) - 1;
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return (from.keys[a] & mask) >> first_bit < (from.keys[b] & mask) >> first_bit;
    });
    for (size_t i = 0; i < n; ++i) {
      to.keys[i] = from.keys[order[i]];
      to.values[i] = from.values[order[i]];
    }
    if (back) {
      std::copy_n(to.keys, n, from.keys);
      std::copy_n(to.values, n, from.values);
    }
    const KeyValues& left = back ? to : from;
    std::fill_n(left.keys, n, ~uint64_t{0});
    std::fill_n(left.values, n, ~uint32_t{0});
  });
}

void running_sums(Context& ctx, const uint64_t* values, uint64_t* sums, int64_t count) {
  if (count == 0) return;
  check_memory(values, count, sizeof(uint64_t));
  check_memory(sums, count, sizeof(uint64_t));
  emulator::give(ctx.stream().handle(), [=] {
    const emulator::Access access;
    uint64_t sum = 0;
    for (int64_t i = 0; i < count; ++i) sums[i] = sum += values[i];
  });
}

}  // namespace lime::cuda
