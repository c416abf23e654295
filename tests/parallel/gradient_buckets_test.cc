#include "parallel/gradient_buckets.h"

#include <gtest/gtest.h>

#include "parallel/device_communicator.h"
#include "tests/parallel/reference_sum.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

constexpr int64_t v = 16;  // micro-batches of a step, over all ranks; the most ranks that this can run on
const std::vector<int64_t> parameter_ends{700, 701, 1500, 1500, 4000, 4003, 9000};

// Counts the all-reduces of a communicator and remembers their sizes.
class Recorder final : public Communicator {
 public:
  explicit Recorder(Communicator& comm) : comm_(comm) {}
  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  const char* name() const override { return comm_.name(); }
  WorkPtr all_reduce(View buffer, ReduceOp op) override {
    sizes.push_back(buffer.size());
    return comm_.all_reduce(buffer, op);
  }
  WorkPtr all_gather(ConstView in, View out) override { return comm_.all_gather(in, out); }
  WorkPtr reduce_scatter(ConstView in, View out) override { return comm_.reduce_scatter(in, out); }
  WorkPtr all_to_all_v(ConstView send, std::span<const int64_t> send_counts, View recv,
                       std::span<const int64_t> recv_counts) override {
    return comm_.all_to_all_v(send, send_counts, recv, recv_counts);
  }
  WorkPtr broadcast(View buffer, int root) override { return comm_.broadcast(buffer, root); }
  WorkPtr barrier() override { return comm_.barrier(); }
  std::unique_ptr<Communicator> duplicate() override { return comm_.duplicate(); }

  std::vector<int64_t> sizes;

 private:
  Communicator& comm_;
};

std::vector<float> leaf_values(int64_t leaf, uint64_t step) {
  auto values = rough_values<float>(parameter_ends.back(), 50 + 100 * step + static_cast<uint64_t>(leaf));
  values[3] = -0.0f;  // in all leaves: the sign must not tell where an absent leaf lay
  values[8999] = leaf == 5 ? 1.0f : -0.0f;
  return values;
}

// One process, all leaves, absent ones as zeros, + 0.
std::vector<float> expected_sum(uint64_t step, uint32_t absent) {
  std::vector<std::vector<float>> ranks;
  const int size = test_group().size();
  for (int r = 0; r < size; ++r) {
    const auto [first, last] = leaves_of(v, r, size);
    std::vector<std::vector<float>> leaves;
    for (int64_t l = first; l < last; ++l) {
      leaves.push_back((absent >> l) & 1 ? std::vector<float>(9000, 0.0f) : leaf_values(l, step));
    }
    ranks.push_back(reference_tree_sum(leaves));
  }
  auto sum = reference_tree_sum(ranks);
  for (float& x : sum) x += 0.0f;
  return sum;
}

std::vector<float> whole_tree_sum(uint64_t step, uint32_t absent) {
  std::vector<std::vector<float>> leaves;
  for (int64_t l = 0; l < v; ++l) {
    leaves.push_back((absent >> l) & 1 ? std::vector<float>(9000, 0.0f) : leaf_values(l, step));
  }
  auto sum = reference_tree_sum(leaves);
  for (float& x : sum) x += 0.0f;
  return sum;
}

// A step as the trainer makes it: each micro-batch writes its gradients parameter by parameter, from the last
// to the first or in a scrambled order.
std::vector<float> run_step(Context& ctx, GradientBuckets& buckets, uint64_t step, uint32_t absent,
                            bool scrambled) {
  const auto [first, last] = leaves_of(v, test_group().rank(), test_group().size());
  const Tensor gradients(ctx.device(), DType::f32, 1, 9000), sum(ctx.device(), DType::f32, 1, 9000);
  fill(ctx, sum, -1);
  for (int64_t l = first; l < last; ++l) {
    if ((absent >> l) & 1) {
      buckets.skip_micro_batch();
      continue;
    }
    const auto leaf = leaf_values(l, step);
    fill(ctx, gradients, -7);
    buckets.begin_micro_batch(gradients.view());
    const auto n = static_cast<int64_t>(parameter_ends.size());
    for (int64_t i = 0; i < n; ++i) {
      const auto p = static_cast<size_t>(scrambled ? (3 * i + l) % n : n - 1 - i);
      const int64_t begin = p == 0 ? 0 : parameter_ends[p - 1];
      copy(ctx, ConstView(leaf.data() + begin, 1, parameter_ends[p] - begin),
           gradients.view().slice_cols(begin, parameter_ends[p]));
      buckets.mark_ready(static_cast<int64_t>(p));
    }
  }
  buckets.finish(sum);
  return to_host<float>(ctx, sum.view());
}

int64_t own_leaves() {
  const auto [first, last] = leaves_of(v, test_group().rank(), test_group().size());
  return last - first;
}

class GradientBucketsOn : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  GradientBucketsOn() : DeviceTest(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Devices, GradientBucketsOn, testing::ValuesIn(test_devices()), device_name);

TEST_P(GradientBucketsOn, SumsAllLeavesOfAllRanksAlongTheTree) {
  const int size = test_group().size();
  const auto comm = make_device_communicator(test_group().world(), ctx);
  for (const int64_t bucket_bytes : {1, 4000, 12000, 1 << 20}) {
    GradientBuckets buckets(ctx, *comm, parameter_ends, own_leaves(), bucket_bytes);
    uint64_t step = 0;
    // None; some; all of one of two, four ranks; the last; all but one; all.
    for (const uint32_t absent : {0u, 0x1012u, 0xff00u, 0x000fu, 0x8000u, 0xffdfu, 0xffffu}) {
      const auto sum = run_step(ctx, buckets, step, absent, step % 2 == 1);
      EXPECT_TRUE(same_bits(sum, expected_sum(step, absent))) << bucket_bytes << " bytes, absent " << absent;
      if ((size & (size - 1)) == 0) {  // the bits that one process gives
        EXPECT_TRUE(same_bits(sum, whole_tree_sum(step, absent)))
            << bucket_bytes << " bytes, absent " << absent;
      }
      ++step;
    }
  }
}

TEST(GradientBuckets, AreCutFromTheEndAtParameterBoundariesAndLaunchedInOrder) {
  Context ctx;
  Recorder recorder(test_group().world());
  GradientBuckets buckets(ctx, recorder, parameter_ends, own_leaves(), 12000);  // 3000 values
  EXPECT_EQ(buckets.buckets(), 3);
  run_step(ctx, buckets, 0, 0, true);
  EXPECT_EQ(recorder.sizes, (std::vector<int64_t>{4997, 2503, 1500}));
  GradientBuckets one(ctx, recorder, parameter_ends, own_leaves(), 1 << 20);
  EXPECT_EQ(one.buckets(), 1);
}

TEST(GradientBuckets, ReduceABucketWhileBackwardStillRuns) {
  Context ctx;
  Recorder recorder(test_group().world());
  GradientBuckets buckets(ctx, recorder, {1000, 2000}, 1, 4000);
  std::vector<float> gradients(2000, 1.0f), sum(2000);
  buckets.begin_micro_batch(view_of(std::as_const(gradients)));
  EXPECT_EQ(recorder.sizes.size(), 0u);
  buckets.mark_ready(1);
  EXPECT_EQ(recorder.sizes.size(), 1u);
  buckets.mark_ready(0);
  EXPECT_EQ(recorder.sizes.size(), 2u);
  buckets.finish(view_of(sum));
  EXPECT_EQ(sum, std::vector<float>(2000, static_cast<float>(test_group().size())));
}

TEST(GradientBuckets, ALaterBucketWaitsForItsTurn) {
  Context ctx;
  Recorder recorder(test_group().world());
  GradientBuckets buckets(ctx, recorder, {100, 300}, 1, 4);
  std::vector<float> gradients(300, 1.0f), sum(300);
  buckets.begin_micro_batch(view_of(std::as_const(gradients)));
  buckets.mark_ready(0);
  EXPECT_TRUE(recorder.sizes.empty());
  buckets.mark_ready(1);
  EXPECT_EQ(recorder.sizes, (std::vector<int64_t>{200, 100}));
  buckets.finish(view_of(sum));
}

TEST(GradientBuckets, ARankWithoutLeavesGivesZeros) {
  Context ctx;
  Communicator& world = test_group().world();
  GradientBuckets buckets(ctx, world, {10}, world.rank() == 0 ? 1 : 0, 1024);
  std::vector<float> gradients(10, 3.0f), sum(10);
  for (int step = 0; step < 2; ++step) {
    if (world.rank() == 0) {
      buckets.begin_micro_batch(view_of(std::as_const(gradients)));
      buckets.mark_ready(0);
    }
    buckets.finish(view_of(sum));
    EXPECT_EQ(sum, gradients);
  }
}

TEST(GradientBuckets, MisuseIsNamed) {
  Context ctx;
  const auto self = make_self_communicator();
  GradientBuckets buckets(ctx, *self, {10, 20}, 2, 1024);
  std::vector<float> gradients(20), sum(20), wrong(19);
  const auto view = view_of(std::as_const(gradients));
  EXPECT_THROW(buckets.mark_ready(0), Error);
  EXPECT_THROW(buckets.begin_micro_batch(view_of(std::as_const(wrong))), Error);
  buckets.begin_micro_batch(view);
  buckets.mark_ready(1);
  EXPECT_THROW(buckets.mark_ready(1), Error);
  EXPECT_THROW(buckets.mark_ready(2), Error);
  EXPECT_THROW(buckets.begin_micro_batch(view), Error);  // parameter 0 is not ready
  EXPECT_THROW(buckets.skip_micro_batch(), Error);
  buckets.mark_ready(0);
  EXPECT_THROW(buckets.finish(view_of(sum)), Error);  // one micro-batch of two
  buckets.skip_micro_batch();
  EXPECT_THROW(buckets.skip_micro_batch(), Error);
  buckets.finish(view_of(sum));
}

}  // namespace
}  // namespace lime
