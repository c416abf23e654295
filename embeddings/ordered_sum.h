// The sum of one row's gradients along the tree of tree_sum.h. Internal to embeddings/.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "embeddings/dedup.h"
#include "embeddings/lookup_kernels.h"
#include "runtime/error.h"

namespace lime {

// Sums the parts of distinct id `unique` over its leaves; part(slot) is the slot's gradient or null where it
// is absent, which adds nothing. Sums in place: the result is the first part that is there, or null.
//
// Two leaves meet in the tree where their indices' highest differing bit is; so with leaves in increasing
// order a stack suffices: whatever meets below the newcomer's meeting point is summed before the newcomer is
// put on it.
template <typename Part>
float* ordered_sum(const DistinctIds& ids, int32_t unique, int64_t dim, Part part) {
  struct Partial {
    float* sum;
    int32_t leaf;  // any of its leaves to the right
    int height;    // where it meets the partial sum below it
  };
  std::array<Partial, 33> stack;
  size_t depth = 0;
  const auto join_below = [&](int height) {
    while (depth > 1 && stack[depth - 1].height < height) {
      add_row(stack[depth - 1].sum, stack[depth - 2].sum, dim);
      stack[depth - 2].leaf = stack[depth - 1].leaf;
      --depth;
    }
  };
  for (int32_t slot = ids.first_slot[unique]; slot != DistinctIds::none; slot = ids.next_slot[slot]) {
    float* const sum = part(slot);
    if (!sum) continue;
    const int32_t leaf = ids.leaf_of_slot[slot];
    int height = 0;
    if (depth > 0) {
      height = std::bit_width(static_cast<uint32_t>(stack[depth - 1].leaf ^ leaf));
      join_below(height);
    }
    stack[depth++] = {sum, leaf, height};
  }
  join_below(33);
  return depth > 0 ? stack[0].sum : nullptr;
}

}  // namespace lime
