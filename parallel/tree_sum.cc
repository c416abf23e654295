#include "parallel/tree_sum.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/error.h"

namespace lime {

std::pair<int64_t, int64_t> leaves_of(int64_t leaves, int rank, int size) {
  LIME_CHECK(leaves >= 0 && 0 <= rank && rank < size, "leaves of rank ", rank, "/", size, " over ", leaves);
  return {leaves * rank / size, leaves * (rank + 1) / size};
}

int64_t tree_split(int64_t n) {
  LIME_CHECK(n > 1, "a tree over ", n, " items does not split");
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(n - 1)));
}

// The tree over the leaves so far is kept as a binary counter: level k, where filled, holds the sum of 2^k
// leaves.
TreeAccumulator::TreeAccumulator(Context& ctx, int64_t leaves, int64_t size) : leaves_(leaves), size_(size) {
  LIME_CHECK(leaves > 0 && size >= 0, "a tree of ", leaves, " leaves of ", size, " values");
  levels_.resize(static_cast<size_t>(std::bit_width(static_cast<uint64_t>(leaves))));
  for (Level& level : levels_) level.sum = Tensor(ctx.device(), ctx.parameter_dtype(), 1, size);
}

void TreeAccumulator::add(Context& ctx, const ConstView& leaf) {
  LIME_CHECK(leaf.rows() == 1 && leaf.cols() == size_, "a leaf of ", leaf.rows(), "x", leaf.cols(),
             " in a tree of 1x", size_);
  push(ctx, &leaf);
}

void TreeAccumulator::skip(Context& ctx) { push(ctx, nullptr); }

// to = to + from, where either may be absent; `from` is used up.
void TreeAccumulator::merge(Context& ctx, Level& from, Level& to) {
  if (from.present && to.present) {
    lime::add(ctx, from.sum.view(), to.sum);
  } else if (from.present) {
    std::swap(from.sum, to.sum);
  }
  to.present |= from.present;
  to.filled = true;
  from.present = from.filled = false;
}

void TreeAccumulator::push(Context& ctx, const ConstView* leaf) {
  LIME_CHECK(next_ < leaves_, "more than ", leaves_, " leaves");
  ++next_;
  Level& first = levels_[0];
  if (!first.filled) {
    if (leaf) copy(ctx, *leaf, first.sum);
    first.present = leaf != nullptr;
    first.filled = true;
    return;
  }
  if (leaf && first.present) {
    lime::add(ctx, *leaf, first.sum);
  } else if (leaf) {
    copy(ctx, *leaf, first.sum);
    first.present = true;
  }
  size_t k = 0;
  for (bool carry = true; carry; ++k) {
    carry = levels_[k + 1].filled;
    merge(ctx, levels_[k], levels_[k + 1]);
  }
}

bool TreeAccumulator::finish(Context& ctx, View out) {
  LIME_CHECK(next_ == leaves_, "finish after ", next_, " of ", leaves_, " leaves");
  LIME_CHECK(out.rows() == 1 && out.cols() == size_, "the sum of leaves of 1x", size_, " in ", out.rows(),
             "x", out.cols());
  Level* total = nullptr;
  for (Level& level : levels_) {
    if (!level.filled) continue;
    if (total) merge(ctx, *total, level);
    total = &level;
  }
  if (!total->present) return false;
  fill(ctx, out, 0);  // not a copy: 0 + -0 is 0
  lime::add(ctx, total->sum.view(), out);
  return true;
}

void TreeAccumulator::reset() {
  next_ = 0;
  for (Level& level : levels_) level.present = level.filled = false;
}

namespace {

// out[0, n) = tree sum of the parts' values [begin, begin + n); inner sums go into the leftmost part of their
// subtree.
template <typename T>
void sum_block(std::span<void* const> parts, int64_t begin, int64_t n, T* out) {
  const auto values = [&](size_t p) { return static_cast<T*>(parts[p]) + begin; };
  const auto split = static_cast<size_t>(tree_split(static_cast<int64_t>(parts.size())));
  if (split > 1) sum_block(parts.first(split), begin, n, values(0));
  if (parts.size() - split > 1) sum_block(parts.subspan(split), begin, n, values(split));
  const T* a = values(0);
  const T* b = values(split);
#pragma GCC ivdep  // `out` is a, b or neither
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

template <typename T>
void sum_parts(std::span<void* const> parts, int64_t count, T* out) {
  constexpr int64_t block = 1024;  // a block of all parts stays in cache
  for (int64_t i = 0; i < count; i += block) sum_block(parts, i, std::min(block, count - i), out + i);
}

}  // namespace

void tree_sum_parts(DType dtype, std::span<void* const> parts, int64_t count, void* out) {
  LIME_CHECK(!parts.empty(), "a sum of no parts");
  if (parts.size() == 1) {
    if (out != parts[0] && count > 0) std::memcpy(out, parts[0], static_cast<size_t>(count) * size_of(dtype));
    return;
  }
  switch (dtype) {
    case DType::f32:
      return sum_parts(parts, count, static_cast<float*>(out));
    case DType::f64:
      return sum_parts(parts, count, static_cast<double*>(out));
    case DType::i64:
      return sum_parts(parts, count, static_cast<int64_t*>(out));
    case DType::bf16:
      break;
  }
  LIME_CHECK(false, "sums of ", to_string(dtype));
}

}  // namespace lime
