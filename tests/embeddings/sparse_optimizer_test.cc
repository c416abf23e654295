#include "embeddings/sparse_optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "runtime/philox.h"

namespace lime {
namespace {

// The definitions in sparse_optimizer.h, in f64.
struct ReferenceRow {
  std::vector<double> p, s, m, v;
  double row_sum = 0;
  int updates = 0;

  void update(const TableConfig& c, double lr_scale, const std::vector<double>& g) {
    const double lr = c.learning_rate * lr_scale;
    double square = 0;
    for (const double x : g) square += x * x;
    row_sum += square / static_cast<double>(g.size());
    ++updates;
    for (size_t i = 0; i < g.size(); ++i) {
      s[i] += g[i] * g[i];
      m[i] = c.beta1 * m[i] + (1 - c.beta1) * g[i];
      v[i] = c.beta2 * v[i] + (1 - c.beta2) * g[i] * g[i];
      const double mean = m[i] / (1 - std::pow(c.beta1, updates)),
                   var = v[i] / (1 - std::pow(c.beta2, updates));
      switch (c.optimizer) {
        case SparseOptimizer::sgd:
          p[i] -= lr * g[i];
          break;
        case SparseOptimizer::rowwise_adagrad:
          p[i] -= lr * g[i] / (std::sqrt(row_sum) + c.eps);
          break;
        case SparseOptimizer::adagrad:
          p[i] -= lr * g[i] / (std::sqrt(s[i]) + c.eps);
          break;
        case SparseOptimizer::adam:
          p[i] -= lr * mean / (std::sqrt(var) + c.eps);
          break;
      }
    }
  }
};

class SparseOptimizerTest : public testing::TestWithParam<std::tuple<SparseOptimizer, int64_t>> {};

TEST_P(SparseOptimizerTest, FollowsItsFormulaOverManySteps) {
  const auto [optimizer, dim] = GetParam();
  TableConfig config{
      .name = "t", .dim = dim, .optimizer = optimizer, .learning_rate = 0.1, .initial_accumulator = 0.25};
  constexpr size_t rows = 23;
  const auto width = static_cast<size_t>(state_width_of(optimizer, dim)), n = static_cast<size_t>(dim);
  std::vector<std::vector<float>> values(rows), states(rows), gradients(rows);
  std::vector<ReferenceRow> expected(rows);
  const Philox random(11, 12);
  uint64_t at = 0;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < n; ++c) values[r].push_back(static_cast<float>(random.normal(at++)));
    states[r].resize(width);
    set_initial_state(config, states[r].data());
    expected[r].p.assign(values[r].begin(), values[r].end());
    expected[r].s.assign(n, 0.25);
    expected[r].m.assign(n, 0), expected[r].v.assign(n, 0);
    expected[r].row_sum = 0.25;
  }
  for (int step = 0; step < 30; ++step) {
    const double grad_scale = step % 3 == 0 ? 0.125 : 1, lr_scale = 1.0 / (1 + step % 4);
    std::vector<RowUpdate> updates;
    for (size_t r = 0; r < rows; ++r) {
      if (random.uniform(at++) < 0.4) continue;
      gradients[r].clear();
      std::vector<double> g;
      for (size_t c = 0; c < n; ++c) {
        gradients[r].push_back(static_cast<float>(random.normal(at++)));
        g.push_back(grad_scale * gradients[r].back());
      }
      expected[r].update(config, lr_scale, g);
      updates.push_back({values[r].data(), states[r].data(), gradients[r].data(), static_cast<int64_t>(r)});
    }
    update_rows(config, grad_scale, lr_scale, {}, updates);
  }
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < n; ++c)
      ASSERT_NEAR(values[r][c], expected[r].p[c], 2e-5) << "row " << r << " column " << c;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SparseOptimizerTest,
                         testing::Combine(testing::Values(SparseOptimizer::sgd,
                                                          SparseOptimizer::rowwise_adagrad,
                                                          SparseOptimizer::adagrad, SparseOptimizer::adam),
                                          testing::Values(1, 7, 16, 64, 67)));

// How many other rows are updated in the same call must not show in a row's bits.
TEST(SparseOptimizer, ARowsBitsAreItsOwn) {
  for (const auto optimizer : {SparseOptimizer::sgd, SparseOptimizer::rowwise_adagrad,
                               SparseOptimizer::adagrad, SparseOptimizer::adam}) {
    const TableConfig config{.name = "t", .dim = 37, .optimizer = optimizer};
    const auto width = static_cast<size_t>(state_width_of(optimizer, config.dim));
    const Philox random(13, 14);
    std::vector<float> gradient(37 * 50);
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = static_cast<float>(random.normal(i));
    std::vector<float> together(37 * 50, 0.5f), apart = together, state_a(width * 50 + 1), state_b = state_a;
    std::vector<RowUpdate> all;
    for (size_t r = 0; r < 50; ++r) {
      all.push_back({&together[r * 37], &state_a[r * width], &gradient[r * 37], 0});
      const RowUpdate one{&apart[r * 37], &state_b[r * width], &gradient[r * 37], 0};
      update_rows(config, 0.3, 1, {}, {&one, 1});
    }
    update_rows(config, 0.3, 1, {}, all);
    EXPECT_EQ(together, apart);
    EXPECT_EQ(state_a, state_b);
  }
}

}  // namespace
}  // namespace lime
