#include "parallel/gradient_buckets.h"

#include <algorithm>

#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {

struct GradientBuckets::Impl {
  // Parameters [first, last) are elements [begin, end).
  struct Bucket {
    int64_t first = 0, last = 0, begin = 0, end = 0;
    int64_t pending = 0;                    // parameters not yet ready in this micro-batch
    std::unique_ptr<TreeAccumulator> tree;  // null where this rank has no leaves
    bool complete = false;                  // all leaves are in the tree
    WorkPtr work;                           // its all-reduce, once launched
  };

  Context& ctx;
  Communicator& comm;
  std::vector<int64_t> ends;
  int64_t leaves;
  Tensor result;                   // 1 x size: sums under way
  std::vector<Bucket> buckets;     // from the end of the flat gradient to its beginning; their works use it
  std::vector<int64_t> bucket_of;  // of a parameter
  std::vector<bool> ready;         // parameters, in this micro-batch
  ConstView gradients;             // of the micro-batch under way
  bool in_micro_batch = false;
  int64_t leaf = 0;     // micro-batches begun or skipped
  size_t launched = 0;  // buckets whose all-reduce has started, in order

  Impl(Context& context, Communicator& communicator, std::vector<int64_t> parameter_ends, int64_t leaf_count)
      : ctx(context), comm(communicator), ends(std::move(parameter_ends)), leaves(leaf_count) {}

  int64_t size() const { return ends.empty() ? 0 : ends.back(); }
  int64_t parameters() const { return static_cast<int64_t>(ends.size()); }
  int64_t begin_of(int64_t parameter) const {
    return parameter == 0 ? 0 : ends[static_cast<size_t>(parameter - 1)];
  }

  void cut(int64_t bucket_bytes) {
    const int64_t limit =
        std::max<int64_t>(1, bucket_bytes / static_cast<int64_t>(size_of(ctx.parameter_dtype())));
    bucket_of.resize(ends.size());
    for (int64_t last = parameters(); last > 0;) {
      int64_t first = last - 1;
      const int64_t end = ends[static_cast<size_t>(last - 1)];
      while (first > 0 && end - begin_of(first - 1) <= limit) --first;
      for (int64_t p = first; p < last; ++p)
        bucket_of[static_cast<size_t>(p)] = static_cast<int64_t>(buckets.size());
      Bucket bucket;
      bucket.first = first;
      bucket.last = last;
      bucket.begin = begin_of(first);
      bucket.end = end;
      if (leaves > 0) bucket.tree = std::make_unique<TreeAccumulator>(ctx, leaves, bucket.end - bucket.begin);
      buckets.push_back(std::move(bucket));
      last = first;
    }
  }

  View result_of(const Bucket& b) const { return result.view().slice_cols(b.begin, b.end); }

  void check_micro_batch_complete() const {
    if (!in_micro_batch) return;
    for (int64_t p = 0; p < parameters(); ++p) {
      LIME_CHECK(ready[static_cast<size_t>(p)], "micro-batch ", leaf - 1,
                 " ended before the gradient of parameter ", p, " was ready");
    }
  }

  void next_leaf() {
    LIME_CHECK(leaf < leaves, "more than ", leaves, " micro-batches in a step");
    check_micro_batch_complete();
    in_micro_batch = false;
    ++leaf;
  }

  // Starts the all-reduce of all buckets whose turn it is, and moves those under way along.
  void launch_complete() {
    for (; launched < buckets.size() && buckets[launched].complete; ++launched) {
      Bucket& b = buckets[launched];
      const View out = result_of(b);
      if (!b.tree || !b.tree->finish(ctx, out)) fill(ctx, out, 0);
      b.work = comm.all_reduce(out, ReduceOp::sum);
    }
    if (launched > 0) buckets[launched - 1].work->test();
  }
};

GradientBuckets::GradientBuckets(Context& ctx, Communicator& comm, std::vector<int64_t> parameter_ends,
                                 int64_t leaves, int64_t bucket_bytes)
    : impl_(std::make_unique<Impl>(ctx, comm, std::move(parameter_ends), leaves)) {
  LIME_CHECK(comm.device() == ctx.device(), "gradients on ", to_string(ctx.device()),
             " by a communicator of ", to_string(comm.device()));
  LIME_CHECK(leaves >= 0 && bucket_bytes > 0, leaves, " micro-batches, buckets of ", bucket_bytes, " bytes");
  LIME_CHECK(
      std::is_sorted(impl_->ends.begin(), impl_->ends.end()) && (impl_->ends.empty() || impl_->ends[0] >= 0),
      "parameter ends must increase");
  impl_->cut(bucket_bytes);
  impl_->ready.resize(impl_->ends.size());
  impl_->result = Tensor(ctx.device(), ctx.parameter_dtype(), 1, impl_->size());
}

GradientBuckets::~GradientBuckets() = default;

void GradientBuckets::begin_micro_batch(const ConstView& gradients) {
  Impl& m = *impl_;
  LIME_CHECK(
      gradients.rows() == 1 && gradients.cols() == m.size() && gradients.dtype() == m.ctx.parameter_dtype(),
      "gradients of ", gradients.rows(), "x", gradients.cols(), " ", to_string(gradients.dtype()), ", not 1x",
      m.size(), " ", to_string(m.ctx.parameter_dtype()));
  m.next_leaf();
  m.in_micro_batch = true;
  m.gradients = gradients;
  std::fill(m.ready.begin(), m.ready.end(), false);
  for (Impl::Bucket& b : m.buckets) b.pending = b.last - b.first;
}

void GradientBuckets::mark_ready(int64_t index) {
  Impl& m = *impl_;
  LIME_CHECK(m.in_micro_batch, "mark_ready outside a micro-batch");
  LIME_CHECK(0 <= index && index < m.parameters(), "parameter ", index, " of ", m.parameters());
  LIME_CHECK(!m.ready[static_cast<size_t>(index)], "parameter ", index, " is marked ready twice");
  m.ready[static_cast<size_t>(index)] = true;
  Impl::Bucket& b = m.buckets[static_cast<size_t>(m.bucket_of[static_cast<size_t>(index)])];
  if (--b.pending == 0) {
    b.tree->add(m.ctx, m.gradients.slice_cols(b.begin, b.end));
    b.complete = m.leaf == m.leaves;
  }
  m.launch_complete();
}

void GradientBuckets::skip_micro_batch() {
  Impl& m = *impl_;
  m.next_leaf();
  for (Impl::Bucket& b : m.buckets) {
    b.tree->skip(m.ctx);
    b.complete = m.leaf == m.leaves;
  }
  m.launch_complete();
}

void GradientBuckets::finish(View sum) {
  Impl& m = *impl_;
  LIME_CHECK(m.leaf == m.leaves, "finish after ", m.leaf, " of ", m.leaves, " micro-batches");
  m.check_micro_batch_complete();
  LIME_CHECK(sum.rows() == 1 && sum.cols() == m.size(), "the sum of 1x", m.size(), " gradients in ",
             sum.rows(), "x", sum.cols());
  if (m.leaves == 0) {
    for (Impl::Bucket& b : m.buckets) b.complete = true;
    m.launch_complete();
  }
  TraceRange range(m.ctx, "gradients.wait");
  for (Impl::Bucket& b : m.buckets) b.work->wait();
  for (Impl::Bucket& b : m.buckets) {
    b.work.reset();
    b.complete = false;
    if (b.tree) b.tree->reset();
  }
  copy(m.ctx, m.result.view(), sum);
  m.leaf = 0;
  m.launched = 0;
  m.in_micro_batch = false;
}

int64_t GradientBuckets::buckets() const { return static_cast<int64_t>(impl_->buckets.size()); }

}  // namespace lime
