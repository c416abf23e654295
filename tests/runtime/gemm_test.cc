#include <numeric>

#include "runtime/cuda_device_calls.h"
#include "runtime/gemm_i8.h"
#include "runtime/linear_products.h"
#include "tests/runtime/kernel_case.h"

namespace lime {
namespace {

class Gemm : public KernelTest {};
LIME_INSTANTIATE_KERNEL_TEST(Gemm);

struct Product {
  int64_t m, n, k;
};

template <typename T>
void check_product(Context& ctx, Product p, bool ta, bool tb, double alpha, double beta, int64_t gap,
                   double tolerance) {
  Guarded<T> a(ta ? p.k : p.m, ta ? p.m : p.k, gap), b(tb ? p.n : p.k, tb ? p.k : p.n, gap), c(p.m, p.n, gap);
  a.random(1);
  b.random(2);
  c.random(3);
  // Rows of op(a) and columns of op(b), each contiguous.
  std::vector<Real> rows, cols, want;
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t k = 0; k < p.k; ++k) rows.push_back(ta ? a.at(k, i) : a.at(i, k));
  for (int64_t j = 0; j < p.n; ++j)
    for (int64_t k = 0; k < p.k; ++k) cols.push_back(tb ? b.at(j, k) : b.at(k, j));
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      const Real* row = rows.data() + i * p.k;
      const Real sum = std::inner_product(row, row + p.k, cols.data() + j * p.k, Real{0});
      want.push_back(alpha * sum + (beta == 0 ? 0 : beta * Real{c.at(i, j)}));
    }
  }
  if (beta == 0) c.set([](int64_t, int64_t) { return NAN; });
  gemm(ctx, ta ? Transpose::yes : Transpose::no, tb ? Transpose::yes : Transpose::no, alpha, a.view(),
       b.view(), beta, c);
  c.expect([&](int64_t i, int64_t j) { return want[static_cast<size_t>(i * p.n + j)]; }, tolerance,
           str("gemm ", p.m, "x", p.n, "x", p.k, ta ? " T" : " N", tb ? "T" : "N", " alpha ", alpha, " beta ",
               beta));
  a.expect_guards("a");
  b.expect_guards("b");
}

TEST_P(Gemm, MatchesTheSumOverOddShapesAndStrides) {
  run([&]<typename T>(T) {
    for (const Product p :
         {Product{1, 1, 1}, Product{3, 5, 2}, Product{12, 32, 32}, Product{13, 33, 31}, Product{40, 16, 7},
          Product{25, 47, 17}, Product{100, 32, 32}, Product{32, 100, 32}, Product{7, 32, 300},
          Product{64, 9, 520}, Product{2, 70, 1}, Product{37, 1, 29}, Product{1, 40, 1}}) {
      for (const bool ta : {false, true}) {
        for (const bool tb : {false, true}) {
          for (const int64_t gap : {0, 3}) {
            const double tolerance = ulps<T>(4 + static_cast<double>(p.k) / 4);
            check_product<T>(ctx, p, ta, tb, 1, 0, gap, tolerance);
            check_product<T>(ctx, p, ta, tb, 1, 1, gap, tolerance);
            check_product<T>(ctx, p, ta, tb, -0.5, 2.5, gap, 2 * tolerance);
          }
        }
      }
    }
  });
}

TEST_P(Gemm, BlocksOfRowsAndDepthJoin) {
  run([&]<typename T>(T) {
    check_product<T>(ctx, {800, 5, 270}, false, false, 1, 0.5, 1, ulps<T>(80));
    check_product<T>(ctx, {800, 5, 270}, true, true, 1, 0.5, 1, ulps<T>(80));
  });
}

// Where the CPU has a tile unit: whole and cut tiles, one to three panels, several blocks of rows, columns
// and depth.
TEST_P(Gemm, TilesJoin) {
  run([&]<typename T>(T) {
    for (const Product p : {Product{1, 48, 48}, Product{16, 48, 64}, Product{33, 50, 129},
                            Product{270, 48, 70}, Product{5, 530, 49}}) {
      const double tolerance = ulps<T>(4 + static_cast<double>(p.k) / 4);
      for (const bool ta : {false, true}) {
        for (const bool tb : {false, true}) {
          check_product<T>(ctx, p, ta, tb, 1, ta == tb ? 0 : 1, 3, tolerance);
          check_product<T>(ctx, p, ta, tb, -0.5, 2.5, 0, 2 * tolerance);
        }
      }
    }
  });
}

// As f32's own arithmetic: the error of a sum of products of random numbers is some roundings, none of them
// bf16's.
TEST_P(Gemm, NoDigitIsLost) {
  run([&]<typename T>(T) {
    Guarded<T> a(64, 64), b(64, 64), c(64, 64);
    a.random(1), b.random(2);
    gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), 0, c);
    Real squares = 0;
    for (int64_t i = 0; i < 64; ++i) {
      for (int64_t j = 0; j < 64; ++j) {
        Real sum = 0;
        for (int64_t k = 0; k < 64; ++k) sum += Real{a.at(i, k)} * Real{b.at(k, j)};
        squares += (c.at(i, j) - sum) * (c.at(i, j) - sum);
      }
    }
    EXPECT_LT(std::sqrt(static_cast<double>(squares) / 4096), ulps<T>(4));
  });
}

// Whole and cut tiles, several blocks of rows and depth. Errors: those of f32 sums, and of b's 16 bits on
// AMX.
TEST_P(Gemm, OfWholeNumbersOf8Bits) {
  if (ctx.device() != Device{} || GetParam().dtype != DType::f32) return;
  for (const Product p :
       {Product{1, 48, 48}, Product{40, 65, 129}, Product{270, 128, 300}, Product{5, 7, 3}}) {
    std::vector<int8_t> a(static_cast<size_t>(p.m * p.k));
    for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<int8_t>(i * 37 % 255 - 127);
    Guarded<float> b(p.k, p.n, 5), c(p.m, p.n, 3);
    b.random(2);
    c.set([](int64_t, int64_t) { return NAN; });
    cpu::gemm_i8(ctx, a.data(), b.view(), c);
    const double rounding = (GetParam().amx ? std::ldexp(1, -17) : 0) + ulps<float>(4);
    for (int64_t i = 0; i < p.m; ++i) {
      for (int64_t j = 0; j < p.n; ++j) {
        double sum = 0, absolute = 0;
        for (int64_t k = 0; k < p.k; ++k) {
          const double x = double{b.at(k, j)} * a[static_cast<size_t>(i * p.k + k)];
          sum += x, absolute += std::abs(x);
        }
        ASSERT_NEAR(c.at(i, j), sum, rounding * absolute)
            << p.m << "x" << p.n << "x" << p.k << " " << i << " " << j;
      }
    }
    c.expect_guards("c");
    b.expect_guards("b");
  }
}

TEST_P(Gemm, WhatIsNotFiniteStaysSo) {
  run([&]<typename T>(T) {
    for (const double bad : {double{NAN}, double{INFINITY}, -double{INFINITY}}) {
      Guarded<T> a(64, 64), b(64, 64), c(64, 64);
      a.random(1), b.random(2);
      a.at(37, 5) = static_cast<T>(bad);
      gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), 0, c);
      for (int64_t j = 0; j < 64; ++j) {
        EXPECT_FALSE(std::isfinite(c.at(37, j))) << bad;
        EXPECT_TRUE(std::isfinite(c.at(36, j))) << bad;
      }
    }
  });
}

TEST_P(Gemm, LargeProductsToo) {  // the BLAS path
  run([&]<typename T>(T) {
    if (ctx.device() == Device{} && GetParam().target != hwy::SupportedAndGeneratedTargets().front()) return;
    check_product<T>(ctx, {520, 514, 513}, false, true, 1, 0, 2, ulps<T>(150));
    check_product<T>(ctx, {520, 514, 513}, true, false, 0.5, 1, 0, ulps<T>(150));
  });
}

TEST_P(Gemm, EmptySidesAndEmptySums) {
  run([&]<typename T>(T) {
    Guarded<T> a(3, 0, 1), b(0, 4, 1), c(3, 4, 2);
    c.random(5);
    const Guarded<T> before = c;
    gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), 2, c);
    c.expect([&](int64_t i, int64_t j) { return 2 * Real{before.at(i, j)}; }, 0, "beta c");
    gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), 0, c);
    c.expect([](int64_t, int64_t) { return 0; }, 0, "empty sum");
    Guarded<T> none(0, 5), wide(5, 4), result(0, 4);
    gemm(ctx, Transpose::no, Transpose::no, 1, none.view(), wide.view(), 0, result);
    result.expect_guards("no rows");
  });
}

TEST_P(Gemm, WithBias) {
  run([&]<typename T>(T) {
    for (const Product p : {Product{1, 1, 1}, Product{13, 33, 31}, Product{64, 32, 32}, Product{0, 5, 3}}) {
      for (const int64_t gap : {0, 3}) {
        Guarded<T> x(p.m, p.k, gap), w(p.k, p.n, gap), bias(1, p.n), y(p.m, p.n, gap);
        x.random(1), w.random(2), bias.random(3, 10), y.set([](int64_t, int64_t) { return NAN; });
        gemm_bias(ctx, x.view(), w.view(), bias.view(), y);
        y.expect(
            [&](int64_t i, int64_t j) {
              Real sum = bias.at(0, j);
              for (int64_t k = 0; k < p.k; ++k) sum += Real{x.at(i, k)} * Real{w.at(k, j)};
              return sum;
            },
            ulps<T>(12), str("gemm_bias ", p.m, "x", p.n, "x", p.k));
        bias.expect_guards("bias");
      }
    }
  });
}

TEST_P(Gemm, WithBiasOntoOtherRows) {
  run([&]<typename T>(T) {
    for (const Product p : {Product{1, 1, 1}, Product{13, 33, 31}, Product{64, 32, 32}, Product{0, 5, 3}}) {
      Guarded<T> x(p.m, p.k, 3), w(p.k, p.n), bias(1, p.n), onto(p.m, p.n, 1), y(p.m, p.n, 2);
      x.random(1), w.random(2), bias.random(3, 10), onto.random(4, 10);
      y.set([](int64_t, int64_t) { return 7; });
      // One product where there are devices for it, of odd sides where the library likes; else nothing is
      // done.
      const bool done = gemm_bias_onto(ctx, x.view(), w.view(), bias.view(), onto.view(), y);
      if (ctx.device() == Device{} || p.m == 0) {
        EXPECT_FALSE(done);
      } else if (p.m == 64) {
        EXPECT_TRUE(done);
      }
      y.expect(
          [&](int64_t i, int64_t j) {
            if (!done) return Real{7};
            Real sum = Real{onto.at(i, j)} + Real{bias.at(0, j)};
            for (int64_t k = 0; k < p.k; ++k) sum += Real{x.at(i, k)} * Real{w.at(k, j)};
            return sum;
          },
          ulps<T>(12), str("gemm_bias_onto ", p.m, "x", p.n, "x", p.k));
      Guarded<T> narrow(p.m, p.n + 1);
      EXPECT_THROW(gemm_bias_onto(ctx, x.view(), w.view(), bias.view(), narrow.view(), y), Error);
    }
  });
}

TEST_P(Gemm, WithBiasGradient) {
  run([&]<typename T>(T) {
    for (const Product p : {Product{1, 1, 1}, Product{31, 33, 13}, Product{32, 32, 64}, Product{3, 5, 0}}) {
      for (const int64_t gap : {0, 3}) {
        Guarded<T> x(p.k, p.m, gap), dy(p.k, p.n, gap), dw(p.m, p.n, gap), dbias(1, p.n);
        x.random(1), dy.random(2), dw.random(3), dbias.random(4);
        const Guarded<T> dw0 = dw, dbias0 = dbias;
        gemm_bias_gradient(ctx, x.view(), dy.view(), dw, dbias);
        dw.expect(
            [&](int64_t i, int64_t j) {
              Real sum = dw0.at(i, j);
              for (int64_t k = 0; k < p.k; ++k) sum += Real{x.at(k, i)} * Real{dy.at(k, j)};
              return sum;
            },
            ulps<T>(20), str("weight gradient ", p.m, "x", p.n, "x", p.k));
        dbias.expect(
            [&](int64_t, int64_t j) {
              Real sum = dbias0.at(0, j);
              for (int64_t k = 0; k < p.k; ++k) sum += Real{dy.at(k, j)};
              return sum;
            },
            ulps<T>(20), str("bias gradient ", p.m, "x", p.n, "x", p.k));
      }
    }
  });
}

TEST_P(Gemm, WithBiasChecksShapesAndTypes) {
  run([&]<typename T>(T) {
    Guarded<T> x(4, 3), w(3, 5), y(4, 5), bias(1, 5), wrong(1, 4);
    EXPECT_THROW(gemm_bias(ctx, x.view(), w.view(), wrong.view(), y), Error);
    EXPECT_THROW(gemm_bias(ctx, w.view(), x.view(), bias.view(), y), Error);
    EXPECT_THROW(gemm_bias_gradient(ctx, x.view(), y.view(), w, wrong), Error);
    EXPECT_THROW(gemm_bias_gradient(ctx, w.view(), y.view(), x, bias), Error);
  });
}

// Where one matrix begins within a row of another, whatever that does to its alignment.
TEST_P(Gemm, OfColumnsOfWiderRows) {
  run([&]<typename T>(T) {
    for (const int64_t skipped : {1, 2}) {
      const int64_t gap = 4 - skipped;  // rows begin aligned
      Guarded<T> x(16, 8 + skipped, gap), w(8, 12 + skipped, gap), bias(1, 12 + skipped),
          y(16, 12 + skipped, gap);
      x.random(1), w.random(2), bias.random(3), y.set([](int64_t, int64_t) { return 7; });
      const auto columns = [&](const View& v) { return v.slice_cols(skipped, v.cols()); };
      gemm_bias(ctx, columns(x.view()), columns(w.view()), ConstView(columns(bias.view())),
                columns(y.view()));
      y.expect(
          [&](int64_t i, int64_t j) {
            if (j < skipped) return Real{7};
            Real sum = bias.at(0, j);
            for (int64_t k = 0; k < 8; ++k) sum += Real{x.at(i, k + skipped)} * Real{w.at(k, j)};
            return sum;
          },
          ulps<T>(12), str("columns from ", skipped, " on"));
    }
  });
}

// Batches differ in their numbers of rows, which stand in each place of a step's products.
TEST_P(Gemm, NumbersOfRowsNearEachOtherShareASearch) {
  if (ctx.device() == Device{}) GTEST_SKIP() << "nothing is searched for on the CPU";
  run([&]<typename T>(T) {
    const auto searches = [&](Product p, bool ta, bool tb, int64_t gap) {
      const int64_t before = cuda::device_calls.searches;
      check_product<T>(ctx, p, ta, tb, 1, 1, gap, ulps<T>(4 + static_cast<double>(p.k) / 4));
      return cuda::device_calls.searches - before;
    };
    for (const int64_t gap : {0, 1}) {
      EXPECT_EQ(searches({260, 40, 9}, false, false, gap), 1);  // y = x w
      for (const int64_t rows : {257, 271, 288}) EXPECT_EQ(searches({rows, 40, 9}, false, false, gap), 0);
      EXPECT_EQ(searches({289, 40, 9}, false, false, gap), 1);
      EXPECT_EQ(searches({260, 9, 40}, false, true, gap), 1);  // dx = dy w^T
      EXPECT_EQ(searches({287, 9, 40}, false, true, gap), 0);
      EXPECT_EQ(searches({40, 48, 270}, true, false, gap), 1);  // dw = x^T dy
      EXPECT_EQ(searches({40, 48, 262}, true, false, gap), 0);
    }
    EXPECT_EQ(searches({40, 48, 262}, true, false, 1), 0);
    EXPECT_EQ(searches({9, 300, 7}, false, false, 1), 1);  // rows of 301 numbers: aligned to one
    EXPECT_EQ(searches({9, 308, 7}, false, false, 1), 0);
    EXPECT_EQ(searches({9, 310, 7}, false, false, 1), 1);  // 4 does not divide it
    EXPECT_EQ(searches({9, 301, 7}, false, false, 3), 1);  // of 304
    EXPECT_EQ(searches({9, 40, 301}, false, false, 3), 1);
    EXPECT_EQ(searches({301, 8, 9}, true, false, 3), 1);
    EXPECT_EQ(searches({40, 48, 262}, true, false, 4), 1);  // other strides
    // Sums so long that an algorithm may be for their length alone.
    for (const int64_t depth : {1025, 1029, 1110}) searches({2, 3, depth}, true, false, 0);
  });
}

// Rows are computed alike wherever they are: a tile of a matrix gives the same bits as the matrix. Of several
// blocks of depth, rows in whole and in cut tiles, written and added to; and as many as are promised.
TEST_P(Gemm, RowsDoNotDependOnTheirNumber) {
  if (ctx.device() != Device{}) GTEST_SKIP() << "not promised on CUDA, where the library chooses by shape";
  run([&]<typename T>(T) {
    for (const Product p :
         {Product{100, 48, 48}, Product{100, 50, 300}, Product{most_rows_alike, 514, 513}}) {
      for (const double beta : {0, 1}) {
        Guarded<T> a(p.m, p.k), b(p.k, p.n), before(p.m, p.n), one(1, p.n);
        a.random(1), b.random(2), before.random(3);
        Guarded<T> all = before;
        gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), beta, all);
        for (const int64_t i : {int64_t{0}, int64_t{11}, int64_t{57}, p.m - 1}) {
          one.set([&](int64_t, int64_t j) { return before.at(i, j); });
          gemm(ctx, Transpose::no, Transpose::no, 1, a.view().slice_rows(i, i + 1), b.view(), beta, one);
          for (int64_t j = 0; j < p.n; ++j)
            ASSERT_EQ(one.at(0, j), all.at(i, j))
                << p.m << "x" << p.n << "x" << p.k << " beta " << beta << ": " << i << ", " << j;
        }
      }
    }
  });
}

// ... and of 8 bits, in any number: also where BLAS would take over.
TEST_P(Gemm, RowsOfWholeNumbersDoNotDependOnTheirNumber) {
  if (ctx.device() != Device{} || GetParam().dtype != DType::f32) return;
  for (const Product p : {Product{100, 50, 300}, Product{most_rows_alike + 88, 514, 513}}) {
    std::vector<int8_t> a(static_cast<size_t>(p.m * p.k));
    for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<int8_t>(i * 37 % 255 - 127);
    Guarded<float> b(p.k, p.n), all(p.m, p.n), one(1, p.n);
    b.random(2);
    cpu::gemm_i8(ctx, a.data(), b.view(), all);
    for (const int64_t i : {int64_t{0}, int64_t{57}, p.m - 1}) {
      cpu::gemm_i8(ctx, a.data() + i * p.k, b.view(), one);
      for (int64_t j = 0; j < p.n; ++j)
        ASSERT_EQ(one.at(0, j), all.at(i, j)) << p.m << "x" << p.n << "x" << p.k << ": " << i << ", " << j;
    }
  }
}

}  // namespace
}  // namespace lime
