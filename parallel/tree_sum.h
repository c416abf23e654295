// The one order in which anything is summed over micro-batches and ranks: a fixed binary tree over V leaves.
//
// Leaves 0..V-1, V a power of two. A rank that owns an aligned, power-of-two range of leaves owns a subtree;
// its sum, combined with the other ranks' along the top of the tree, gives the same bits for every
// power-of-two number of ranks. For other rank counts leaves are dealt out in contiguous ranges and each
// range, then the ranges, are summed by tree_split below: the same value up to rounding.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/primitives.h"

namespace lime {

// Leaves [first, last) of rank `rank` of `size`, over `leaves` leaves: equal for powers of two, else as even
// as can be.
std::pair<int64_t, int64_t> leaves_of(int64_t leaves, int rank, int size);

// Where the tree over n > 1 items splits: the largest power of two below n.
int64_t tree_split(int64_t n);

// Adds equal-shaped leaves as they arrive, in order 0, 1, 2, ..., keeping log2(n)+1 partial sums.
// An absent leaf counts as a leaf of zeros, and costs nothing. The two differ only where everything else
// added up to -0 (-0 + 0 is 0), so finish() adds 0 to the sum: it never holds -0, and an absent leaf gives
// the bits of a leaf of zeros, in whichever rank's subtree it lies.
class TreeAccumulator {
 public:
  // `size` values of the parameters' type a leaf.
  TreeAccumulator(Context&, int64_t leaves, int64_t size);
  void add(Context&, const ConstView& leaf);  // 1 x size; the next leaf
  void skip(Context&);                        // the next leaf is absent
  // The sum over all leaves, which must all have been added or skipped; false (out untouched) if all were
  // absent.
  bool finish(Context&, View out);
  void reset();

 private:
  struct Level {
    Tensor sum;
    bool present = false;  // a value, or an absent subtree
    bool filled = false;   // waits for its sibling
  };
  void push(Context&, const ConstView* leaf);
  static void merge(Context&, Level& from, Level& to);
  int64_t leaves_, size_, next_ = 0;
  std::vector<Level> levels_;
};

// out = tree sum of the parts, `count` values each (used by the communicators). The parts are scratch
// afterwards; `out` may be one of them.
void tree_sum_parts(DType dtype, std::span<void* const> parts, int64_t count, void* out);

}  // namespace lime
