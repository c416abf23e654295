// History compressions on every device, against their definitions and finite differences.
#include "layers/history_compression.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

constexpr int64_t links = 2, width = 3, segments = 8 * links;
// None, fewer than the links, fewer than the segments, one an event, unequal segments, many an event.
const std::vector<int64_t> lengths{0, 1, 5, segments, segments + 3, 7 * segments, 0};

class Compression : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  Compression()
      : DeviceTest(GetParam(), DType::f64),
        history(ctx, offsets_of(lengths)),
        tokens(random_tensor(ctx, history_rows(), width, 1)) {}

  int64_t history_rows() const { return static_cast<const Jagged&>(history).rows(); }

  void check_gradients(HistoryCompression& compression, ParameterStore& store) {
    const auto rows = compression.forward(ctx, tokens.view(), history).rows.rows();
    const Tensor r = random_tensor(ctx, rows, width, 2);
    Tensor dtokens = random_tensor(ctx, tokens.rows(), width, 3);  // to be overwritten
    if (store.size() > 0) fill(ctx, store.grads(), 0);
    compression.backward(ctx, r.view(), dtokens);
    GradientCheck check(ctx.device() == Device{} ? 200 : 12);
    check.add(store);
    check.add("tokens", tokens, dtokens);
    check.check([&] {
      ctx.arena().reset();
      return dot(compression.forward(ctx, tokens.view(), history).rows, r.view());
    });
  }

  DeviceJagged history;
  Tensor tokens;
};
INSTANTIATE_TEST_SUITE_P(Devices, Compression, testing::ValuesIn(test_devices()), device_name);

TEST_P(Compression, LastEventsAreTheLastRowsOfEachHistory) {
  LastEvents last(links);
  const CompressedHistory out = last.forward(ctx, tokens.view(), history);
  const Jagged& all = history;
  ASSERT_EQ(out.segments.segments(), all.segments());
  for (int64_t b = 0; b < all.segments(); ++b) {
    const int64_t n = std::min(links, all.length(b));
    ASSERT_EQ(out.segments.length(b), n);
    EXPECT_EQ(values_of(out.rows.slice_rows(out.segments.begin(b), out.segments.end(b))),
              values_of(tokens.view().slice_rows(all.end(b) - n, all.end(b))))
        << "request " << b;
  }
  ParameterStore none;
  check_gradients(last, none);
}

TEST_P(Compression, LowRankProjectionWeighsMeansOfSegments) {
  ParameterStore store;
  LowRankProjection projection(store, "time", links, width);
  store.allocate(ctx, 7);
  const CompressedHistory out = projection.forward(ctx, tokens.view(), history);
  const Jagged& all = history;
  const std::vector<double> x = values_of(tokens.view()), f = values_of(store.all().front().value),
                            rows = values_of(out.rows);
  ASSERT_EQ(out.segments.segments(), all.segments());
  for (int64_t b = 0; b < all.segments(); ++b) {
    const int64_t n = all.length(b), used = std::min(n, segments);
    ASSERT_EQ(out.segments.length(b), n > 0 ? links : 0);
    std::vector<double> want(links * width, 0.0);
    for (int64_t s = 0; s < used; ++s) {
      const int64_t begin = s * n / used, end = (s + 1) * n / used;
      for (int64_t j = begin; j < end; ++j)
        for (int64_t i = 0; i < links; ++i)
          for (int64_t c = 0; c < width; ++c)
            want[static_cast<size_t>(i * width + c)] +=
                f[static_cast<size_t>(i * segments + segments - used + s)] *
                x[static_cast<size_t>((all.begin(b) + j) * width + c)] / static_cast<double>(end - begin);
    }
    if (n == 0) continue;
    for (int64_t i = 0; i < links * width; ++i)
      EXPECT_NEAR(rows[static_cast<size_t>(out.segments.begin(b) * width + i)], want[static_cast<size_t>(i)],
                  1e-12)
          << "request " << b;
  }
  check_gradients(projection, store);
}

}  // namespace
}  // namespace lime
