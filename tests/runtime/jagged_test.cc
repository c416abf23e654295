#include "tests/runtime/kernel_case.h"

namespace lime {
namespace {

class JaggedRows : public KernelTest {
 protected:
  // Empty first, last and in the middle.
  const std::vector<int64_t> offsets = {0, 0, 3, 4, 4, 11, 11};
  const DeviceJagged uploaded{ctx, offsets};
  const Jagged jagged = uploaded;
  int64_t segment_of(int64_t row) const {
    int64_t b = 0;
    while (jagged.end(b) <= row) ++b;
    return b;
  }
};
LIME_INSTANTIATE_KERNEL_TEST(JaggedRows);

TEST_P(JaggedRows, SegmentMean) {
  run([&]<typename T>(T) {
    for (const int64_t cols : {1, 16, 37}) {
      Guarded<T> x(11, cols, 2), y(6, cols, 1), dx(11, cols, 3);
      x.random(1);
      y.set([](int64_t, int64_t) { return NAN; });
      segment_mean(ctx, x.view(), jagged, y);
      y.expect(
          [&](int64_t b, int64_t j) {
            Real sum = 0;
            for (int64_t i = jagged.begin(b); i < jagged.end(b); ++i) sum += x.at(i, j);
            return jagged.length(b) ? sum / static_cast<Real>(jagged.length(b)) : 0;
          },
          ulps<T>(4), "segment_mean");
      const Guarded<T> old = dx.random(2);
      const auto share = [&](int64_t i, int64_t j) {
        const int64_t b = segment_of(i);
        return Real{y.at(b, j)} / static_cast<Real>(jagged.length(b));
      };
      segment_mean_backward(ctx, y.view(), jagged, GradMode::accumulate, dx);
      dx.expect([&](int64_t i, int64_t j) { return old.at(i, j) + share(i, j); }, ulps<T>(4), "accumulate");
      dx.set([](int64_t, int64_t) { return NAN; });
      segment_mean_backward(ctx, y.view(), jagged, GradMode::overwrite, dx);
      dx.expect(share, ulps<T>(4), "overwrite");
    }
  });
}

TEST_P(JaggedRows, RepeatRows) {
  run([&]<typename T>(T) {
    for (const int64_t cols : {1, 16, 37}) {
      Guarded<T> x(6, cols, 2), y(11, cols, 1), dx(6, cols, 3);
      x.random(1);
      repeat_rows(ctx, x.view(), jagged, y);
      y.expect([&](int64_t i, int64_t j) { return x.at(segment_of(i), j); }, 0, "repeat_rows");
      y.random(2);
      const Guarded<T> old = dx.random(3);
      const auto sum = [&](int64_t b, int64_t j) {
        Real total = 0;
        for (int64_t i = jagged.begin(b); i < jagged.end(b); ++i) total += y.at(i, j);
        return total;
      };
      repeat_rows_backward(ctx, y.view(), jagged, GradMode::accumulate, dx);
      dx.expect([&](int64_t b, int64_t j) { return old.at(b, j) + sum(b, j); }, ulps<T>(10), "accumulate");
      dx.set([](int64_t, int64_t) { return NAN; });
      repeat_rows_backward(ctx, y.view(), jagged, GradMode::overwrite, dx);
      dx.expect(sum, ulps<T>(10), "overwrite");
    }
  });
}

// On a device a block has several segments then.
TEST_P(JaggedRows, ManySegments) {
  constexpr int64_t segments = 4100;
  std::vector<int64_t> ends(segments + 1);
  for (int64_t b = 0; b <= segments; ++b)
    ends[static_cast<size_t>(b)] = b / 3 * 4 + b % 3;  // lengths 1, 1, 2
  const DeviceJagged uploaded_ends(ctx, ends);
  const Jagged many = uploaded_ends;
  run([&]<typename T>(T) {
    Guarded<T> x(many.rows(), 1), y(segments, 1);
    x.random(1);
    y.set([](int64_t, int64_t) { return NAN; });
    segment_mean(ctx, x.view(), many, y);
    y.expect(
        [&](int64_t b, int64_t) {
          Real sum = 0;
          for (int64_t i = many.begin(b); i < many.end(b); ++i) sum += x.at(i, 0);
          return sum / static_cast<Real>(many.length(b));
        },
        ulps<T>(4), "segment_mean");
  });
}

TEST_P(JaggedRows, NoSegments) {
  run([&]<typename T>(T) {
    const DeviceJagged none(ctx, {0});
    Guarded<T> rows(0, 5), segments(0, 5);
    segment_mean(ctx, rows.view(), none, segments);
    segment_mean_backward(ctx, segments.view(), none, GradMode::overwrite, rows);
    repeat_rows(ctx, segments.view(), none, rows);
    repeat_rows_backward(ctx, rows.view(), none, GradMode::overwrite, segments);
    rows.expect_guards("rows");
    segments.expect_guards("segments");
  });
}

}  // namespace
}  // namespace lime
