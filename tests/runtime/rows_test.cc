#include "tests/runtime/kernel_case.h"

namespace lime {
namespace {

class Rows : public KernelTest {
 protected:
  template <typename F>
  void over_shapes(F f) {
    for (const Shape s : odd_shapes()) f(s);
  }
};
LIME_INSTANTIATE_KERNEL_TEST(Rows);

Real silu_reference(Real x) { return x / (1 + std::exp(-x)); }

TEST_P(Rows, Bias) {
  run([&]<typename T>(T) {
    over_shapes([&](Shape s) {
      Guarded<T> bias(1, s.cols), y(s.rows, s.cols, s.gap), z(s.rows, s.cols, s.gap + 1);
      bias.random(1);
      const Guarded<T> y0 = y.random(2, 3), z0 = z.random(3, 3);
      add_bias(ctx, bias.view(), y);
      y.expect([&](int64_t i, int64_t j) { return T(y0.at(i, j) + bias.at(0, j)); }, 0, "add_bias");
      bias_silu(ctx, bias.view(), z, y);
      z.expect([&](int64_t i, int64_t j) { return T(z0.at(i, j) + bias.at(0, j)); }, 0, "bias_silu z");
      y.expect([&](int64_t i, int64_t j) { return silu_reference(z.at(i, j)); }, ulps<T>(4), "bias_silu y");
      bias.expect_guards("bias");
    });
  });
}

TEST_P(Rows, ColumnSum) {
  run([&]<typename T>(T) {
    over_shapes([&](Shape s) {
      Guarded<T> x(s.rows, s.cols, s.gap), sum(1, s.cols);
      x.random(1);
      const Guarded<T> old = sum.random(2);
      const auto total = [&](int64_t, int64_t j) {
        Real t = 0;
        for (int64_t i = 0; i < s.rows; ++i) t += x.at(i, j);
        return t;
      };
      column_sum(ctx, x.view(), GradMode::accumulate, sum);
      sum.expect([&](int64_t i, int64_t j) { return total(i, j) + old.at(0, j); }, ulps<T>(20), "accumulate");
      sum.set([](int64_t, int64_t) { return NAN; });
      column_sum(ctx, x.view(), GradMode::overwrite, sum);
      sum.expect(total, ulps<T>(20), "overwrite");
    });
  });
}

template <typename T>
Real softmax_at(const Guarded<T>& x, int64_t i, int64_t j) {
  Real top = x.at(i, 0), sum = 0;
  for (int64_t k = 0; k < x.cols(); ++k) top = std::max<Real>(top, x.at(i, k));
  for (int64_t k = 0; k < x.cols(); ++k) sum += std::exp(x.at(i, k) - top);
  return std::exp(x.at(i, j) - top) / sum;
}

TEST_P(Rows, Softmax) {
  run([&]<typename T>(T) {
    over_shapes([&](Shape s) {
      for (const double spread : {1.0, 500.0}) {
        Guarded<T> x(s.rows, s.cols, s.gap);
        const Guarded<T> x0 = x.random(1, spread);
        softmax_rows(ctx, x);
        x.expect([&](int64_t i, int64_t j) { return softmax_at(x0, i, j); }, ulps<T>(10), "softmax");
      }
    });
    Guarded<T> x(2, 5);
    const T infinity = std::numeric_limits<T>::infinity();
    x.set([&](int64_t i, int64_t j) {
      return i == 0 ? (j == 3 ? T(1) : -infinity) : (j == 2 ? T(NAN) : T(0));
    });
    softmax_rows(ctx, x);
    for (int64_t j = 0; j < 5; ++j) {
      EXPECT_EQ(x.at(0, j), j == 3 ? 1 : 0);  // a hidden column gets nothing
      EXPECT_TRUE(std::isnan(x.at(1, j)));    // a NaN is not swallowed
    }
  });
}

TEST_P(Rows, SoftmaxBackward) {
  run([&]<typename T>(T) {
    over_shapes([&](Shape s) {
      Guarded<T> y(s.rows, s.cols, s.gap), dy(s.rows, s.cols, s.gap), dx(s.rows, s.cols, 1);
      y.random(1);
      dy.random(2);
      softmax_rows_backward(ctx, y.view(), dy.view(), dx);
      dx.expect(
          [&](int64_t i, int64_t j) {
            Real dot = 0;
            for (int64_t k = 0; k < s.cols; ++k) dot += Real{y.at(i, k)} * dy.at(i, k);
            return y.at(i, j) * (dy.at(i, j) - dot);
          },
          ulps<T>(40), "softmax_rows_backward");
      softmax_rows_backward(ctx, y.view(), dy.view(), dy);
      dy.expect([&](int64_t i, int64_t j) { return dx.at(i, j); }, 0, "in place");
    });
  });
}

TEST_P(Rows, LayerNorm) {
  run([&]<typename T>(T) {
    const double eps = 1e-5;
    over_shapes([&](Shape s) {
      Guarded<T> x(s.rows, s.cols, s.gap), y(s.rows, s.cols, s.gap + 2), gain(1, s.cols), bias(1, s.cols),
          mean(s.rows, 1, 3), rstd(s.rows, 1);
      x.random(1, 3);
      layer_norm(ctx, x.view(), gain.random(2).view(), bias.random(3).view(), eps, y, mean, rstd);
      if (s.cols == 0) return;
      std::vector<Real> m(static_cast<size_t>(s.rows)), r = m;
      for (int64_t i = 0; i < s.rows; ++i) {
        Real sum = 0, squares = 0;
        for (int64_t j = 0; j < s.cols; ++j) sum += x.at(i, j);
        const Real mu = sum / static_cast<Real>(s.cols);
        for (int64_t j = 0; j < s.cols; ++j) squares += (x.at(i, j) - mu) * (x.at(i, j) - mu);
        m[static_cast<size_t>(i)] = mu;
        r[static_cast<size_t>(i)] = 1 / std::sqrt(squares / static_cast<Real>(s.cols) + eps);
      }
      mean.expect([&](int64_t i, int64_t) { return m[static_cast<size_t>(i)]; }, ulps<T>(10), "mean");
      rstd.expect([&](int64_t i, int64_t) { return r[static_cast<size_t>(i)]; }, ulps<T>(10), "rstd");
      y.expect(
          [&](int64_t i, int64_t j) {
            return (x.at(i, j) - m[static_cast<size_t>(i)]) * r[static_cast<size_t>(i)] * gain.at(0, j) +
                   bias.at(0, j);
          },
          ulps<T>(20), "y");
    });
  });
}

// Both modes, in place, against each other on every target; the formula itself is checked by differences
// below.
TEST_P(Rows, LayerNormBackwardModes) {
  run([&]<typename T>(T) {
    over_shapes([&](Shape s) {
      if (s.cols == 0) return;
      Guarded<T> x(s.rows, s.cols, s.gap), gain(1, s.cols), bias(1, s.cols), y(s.rows, s.cols),
          mean(s.rows, 1), rstd(s.rows, 1), dy(s.rows, s.cols, s.gap), dx(s.rows, s.cols, s.gap),
          dgain(1, s.cols), dbias(1, s.cols);
      layer_norm(ctx, x.random(1, 2).view(), gain.random(2).view(), bias.random(3).view(), 1e-5, y, mean,
                 rstd);
      dy.random(4);
      layer_norm_backward(ctx, x.view(), gain.view(), mean.view(), rstd.view(), dy.view(),
                          GradMode::overwrite, dx, GradMode::overwrite, dgain, dbias);
      dbias.expect(
          [&](int64_t, int64_t j) {
            Real sum = 0;
            for (int64_t i = 0; i < s.rows; ++i) sum += dy.at(i, j);
            return sum;
          },
          ulps<T>(20), "dbias");
      dgain.expect(
          [&](int64_t, int64_t j) {
            Real sum = 0;
            for (int64_t i = 0; i < s.rows; ++i)
              sum += dy.at(i, j) * (Real{x.at(i, j)} - mean.at(i, 0)) * rstd.at(i, 0);
            return sum;
          },
          ulps<T>(100), "dgain");
      Guarded<T> dx2(s.rows, s.cols, 1), dgain2 = dgain, dbias2 = dbias;
      const Guarded<T> old = dx2.random(5);
      layer_norm_backward(ctx, x.view(), gain.view(), mean.view(), rstd.view(), dy.view(),
                          GradMode::accumulate, dx2, GradMode::accumulate, dgain2, dbias2);
      dx2.expect([&](int64_t i, int64_t j) { return Real{old.at(i, j)} + dx.at(i, j); }, ulps<T>(8),
                 "accumulated dx");
      dgain2.expect([&](int64_t, int64_t j) { return 2 * Real{dgain.at(0, j)}; }, ulps<T>(20),
                    "accumulated dgain");
      dbias2.expect([&](int64_t, int64_t j) { return 2 * Real{dbias.at(0, j)}; }, ulps<T>(20),
                    "accumulated dbias");
      layer_norm_backward(ctx, x.view(), gain.view(), mean.view(), rstd.view(), dy.view(),
                          GradMode::overwrite, dy, GradMode::overwrite, dgain, dbias);
      dy.expect([&](int64_t i, int64_t j) { return dx.at(i, j); }, ulps<T>(8), "in place");
    });
  });
}

TEST_P(Rows, EachRowIsItsOwn) {  // bits do not depend on how many rows a call has
  run([&]<typename T>(T) {
    for (const int64_t cols :
         {37, 64}) {  // with a gap of 1, every fourth row begins at a multiple of 16 bytes
      Guarded<T> x(9, cols, 1), gain(1, cols), bias(1, cols), y(9, cols, 1), mean(9, 1), rstd(9, 1),
          y1(1, cols, 1), mean1(1, 1), rstd1(1, 1);
      layer_norm(ctx, x.random(1).view(), gain.random(2).view(), bias.random(3).view(), 1e-5, y, mean, rstd);
      for (const int64_t r : {0, 4, 5, 8}) {
        layer_norm(ctx, x.view().slice_rows(r, r + 1), gain.view(), bias.view(), 1e-5, y1, mean1, rstd1);
        for (int64_t j = 0; j < cols; ++j) EXPECT_EQ(y1.at(0, j), y.at(r, j));
        EXPECT_EQ(mean1.at(0, 0), mean.at(r, 0));
        EXPECT_EQ(rstd1.at(0, 0), rstd.at(r, 0));
      }
    }
    Guarded<T> x(9, 37);
    x.random(1);
    Guarded<T> s = x, s1(1, 37), z(9, 37), z1(1, 37);
    copy(ctx, x.view().slice_rows(5, 6), s1);
    softmax_rows(ctx, s);
    softmax_rows(ctx, s1);
    silu(ctx, x.view(), z);
    silu(ctx, x.view().slice_rows(5, 6), z1);
    for (int64_t j = 0; j < 37; ++j) {
      EXPECT_EQ(s1.at(0, j), s.at(5, j));
      EXPECT_EQ(z1.at(0, j), z.at(5, j));
    }
  });
}

// Differences, in f64: loss = sum(w . f(x)).
double weighted(const Guarded<double>& w, const Guarded<double>& y) {
  double sum = 0;
  for (int64_t i = 0; i < y.rows(); ++i) {
    for (int64_t j = 0; j < y.cols(); ++j) sum += w.at(i, j) * y.at(i, j);
  }
  return sum;
}

TEST_P(Rows, GradientsMatchDifferences) {
  if (GetParam().dtype != DType::f64) return;
  const int64_t rows = 3, cols = 21;
  Guarded<double> x(rows, cols), w(rows, cols), y(rows, cols), dx(rows, cols);
  x.random(1, 2);
  w.random(2);
  const auto expect_slope = [&](const char* what, const std::function<double()>& loss) {
    dx.expect([&](int64_t i, int64_t j) { return slope(x, i, j, loss); }, 1e-8, what);
  };

  silu_backward(ctx, x.view(), w.view(), dx);
  expect_slope("silu", [&] {
    silu(ctx, x.view(), y);
    return weighted(w, y);
  });

  const auto softmax_loss = [&] {
    copy(ctx, x.view(), y);
    softmax_rows(ctx, y);
    return weighted(w, y);
  };
  softmax_loss();
  softmax_rows_backward(ctx, y.view(), w.view(), dx);
  expect_slope("softmax", softmax_loss);

  Guarded<double> gain(1, cols), bias(1, cols), mean(rows, 1), rstd(rows, 1), dgain(1, cols), dbias(1, cols);
  gain.random(3);
  bias.random(4);
  const auto norm_loss = [&] {
    layer_norm(ctx, x.view(), gain.view(), bias.view(), 1e-5, y, mean, rstd);
    return weighted(w, y);
  };
  norm_loss();
  layer_norm_backward(ctx, x.view(), gain.view(), mean.view(), rstd.view(), w.view(), GradMode::overwrite, dx,
                      GradMode::overwrite, dgain, dbias);
  expect_slope("layer norm", norm_loss);
  dgain.expect([&](int64_t i, int64_t j) { return slope(gain, i, j, norm_loss); }, 1e-8, "gain");
  dbias.expect([&](int64_t i, int64_t j) { return slope(bias, i, j, norm_loss); }, 1e-8, "bias");
}

}  // namespace
}  // namespace lime
