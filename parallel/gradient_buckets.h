// Gradient buckets: dense gradients are summed over the step's micro-batches and ranks while backward still
// runs.
//
// The flat gradient of all parameters is cut into buckets of about `bucket_bytes`, at parameter boundaries,
// from the end (backward makes gradients ready in about reverse order). For each micro-batch on this rank,
// mark_ready(parameter) is called as a parameter's gradient becomes final; a complete bucket goes into its
// tree accumulator, and in the last micro-batch its all-reduce starts at once. finish() waits for all. Same
// order of buckets on every rank: a bucket is launched only after those before it. Gradients are on the
// context's device, and so is the communicator.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/tree_sum.h"

namespace lime {

class GradientBuckets {
 public:
  // `parameter_ends`: ends of the parameters in the flat buffer, increasing; the last is its size.
  // `leaves`: micro-batches of this rank a step.
  GradientBuckets(Context&, Communicator&, std::vector<int64_t> parameter_ends, int64_t leaves,
                  int64_t bucket_bytes);
  ~GradientBuckets();

  // Starts the next micro-batch; `gradients` (1 x size) is where its backward writes.
  void begin_micro_batch(const ConstView& gradients);
  // Parameter `index`'s gradient is final for this micro-batch.
  void mark_ready(int64_t index);
  // This micro-batch is empty: no forward, no backward, nothing added.
  void skip_micro_batch();
  // After the last micro-batch: writes the sum over all micro-batches and ranks. Where every leaf of a rank
  // was absent the rank contributes zeros.
  void finish(View sum);
  int64_t buckets() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
