#include "embeddings/sparse_optimizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "embeddings/isa.h"
#include "embeddings/row_type.h"
#include "runtime/philox.h"

namespace lime {

int64_t state_width_of(SparseOptimizer optimizer, int64_t dim) {
  switch (optimizer) {
    case SparseOptimizer::sgd:
      return 0;
    case SparseOptimizer::rowwise_adagrad:
      return 1;
    case SparseOptimizer::adagrad:
      return dim;
    case SparseOptimizer::adam:
      return 2 * dim + 1;
  }
  LIME_CHECK(false, "optimizer ", static_cast<int>(optimizer));
  return 0;
}

void set_initial_state(const TableConfig& config, float* state) {
  const bool adagrad =
      config.optimizer == SparseOptimizer::adagrad || config.optimizer == SparseOptimizer::rowwise_adagrad;
  std::fill_n(state, state_width_of(config.optimizer, config.dim),
              adagrad ? static_cast<float>(config.initial_accumulator) : 0.0f);
}

namespace {

// Adam's 1 / (1 - beta^n) for both betas. Most rows of a step share a few n: each is computed once.
class AdamCorrections {
 public:
  AdamCorrections(double beta1, double beta2) : beta1_(beta1), beta2_(beta2) {}
  std::pair<float, float> operator()(float n) {
    if (n >= static_cast<float>(known_.size())) return compute(n);
    auto& known = known_[static_cast<size_t>(n)];
    if (known.first == 0) known = compute(n);
    return known;
  }

 private:
  std::pair<float, float> compute(float n) const {
    return {static_cast<float>(1 / (1 - std::pow(beta1_, double{n}))),
            static_cast<float>(1 / (1 - std::pow(beta2_, double{n})))};
  }
  double beta1_, beta2_;
  std::array<std::pair<float, float>, 512> known_{};
};

struct Settings {
  int64_t dim;
  float grad_scale, lr, eps;
  float beta1, beta2, one_beta1, one_beta2;
  AdamCorrections* corrections;
};

template <typename T>
LIME_INLINE inline void prefetch(const T* p, int64_t count) {
  constexpr int64_t of_line = 64 / sizeof(T);
  for (int64_t c = 0; c < count; c += of_line) __builtin_prefetch(p + c, 1);
}

// A row while it is updated: in f32.
struct Row {
  float* values;
  float* state;
  const float* gradient;
};

LIME_INLINE inline void sgd(const Settings& s, const Row& row) {
  float* __restrict p = row.values;
  const float* __restrict g = row.gradient;
  for (int64_t c = 0; c < s.dim; ++c) p[c] -= s.lr * (s.grad_scale * g[c]);
}

// The mean of (scale g)^2: sixteen running sums, joined in one order whatever the vector width.
LIME_INLINE inline float mean_square(const float* g, float scale, int64_t dim) {
  constexpr int64_t lanes = 16;
  float sums[lanes] = {};
  int64_t c = 0;
  for (; c + lanes <= dim; c += lanes) {
    for (int64_t k = 0; k < lanes; ++k) sums[k] += (scale * g[c + k]) * (scale * g[c + k]);
  }
  for (int64_t k = 0; c + k < dim; ++k) sums[k] += (scale * g[c + k]) * (scale * g[c + k]);
  for (int64_t half = lanes / 2; half > 0; half /= 2) {
    for (int64_t k = 0; k < half; ++k) sums[k] += sums[k + half];
  }
  return sums[0] / static_cast<float>(dim);
}

LIME_INLINE inline void rowwise_adagrad(const Settings& s, const Row& row) {
  float* __restrict p = row.values;
  const float* __restrict g = row.gradient;
  *row.state += mean_square(g, s.grad_scale, s.dim);
  const float root = std::sqrt(*row.state) + s.eps;
  for (int64_t c = 0; c < s.dim; ++c) p[c] -= s.lr * (s.grad_scale * g[c]) / root;
}

LIME_INLINE inline void adagrad(const Settings& s, const Row& row) {
  float* __restrict p = row.values;
  float* __restrict sum = row.state;
  const float* __restrict gradient = row.gradient;
  for (int64_t c = 0; c < s.dim; ++c) {
    const float g = s.grad_scale * gradient[c];
    sum[c] += g * g;
    p[c] -= s.lr * g / (std::sqrt(sum[c]) + s.eps);
  }
}

LIME_INLINE inline void adam(const Settings& s, const Row& row) {
  float* __restrict p = row.values;
  float* __restrict m = row.state;
  float* __restrict v = row.state + s.dim;
  float& updates = row.state[2 * s.dim];
  const float* __restrict gradient = row.gradient;
  updates += 1;
  const auto [m_share, v_share] = (*s.corrections)(updates);
  for (int64_t c = 0; c < s.dim; ++c) {
    const float g = s.grad_scale * gradient[c];
    m[c] = s.beta1 * m[c] + s.one_beta1 * g;
    v[c] = s.beta2 * v[c] + s.one_beta2 * (g * g);
    p[c] -= s.lr * (m_share * m[c]) / (std::sqrt(v_share * v[c]) + s.eps);
  }
}

constexpr size_t ahead = 6;  // rows whose lines are on their way while one is updated

// One loop for all: `update` is one of the functions above.
template <typename Update>
LIME_INLINE inline void for_rows(const Settings& s, std::span<const RowUpdate> rows, int64_t state_width,
                                 Update update) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + ahead < rows.size()) {
      prefetch(static_cast<float*>(rows[i + ahead].values), s.dim);
      prefetch(rows[i + ahead].state, state_width);
    }
    update(s, {static_cast<float*>(rows[i].values), rows[i].state, rows[i].gradient});
  }
}

constexpr size_t drawn_together = 8;  // rows

template <typename Update>
LIME_INLINE inline void for_bf16_rows(const Settings& s, std::span<const RowUpdate> rows, int64_t state_width,
                                      const RoundingKey& key, float* values, uint16_t* random,
                                      Update update) {
  const auto blocks = static_cast<uint64_t>((s.dim + Philox::halves_of_block - 1) / Philox::halves_of_block);
  for (size_t first = 0; first < rows.size(); first += drawn_together) {
    const size_t end = std::min(first + drawn_together, rows.size());
    uint64_t streams[drawn_together];
    for (size_t i = first; i < end; ++i)
      streams[i - first] = mix64(key.stream_prefix ^ static_cast<uint64_t>(rows[i].id));
    Philox::halves(key.seed, {streams, end - first}, key.update * blocks, s.dim, random);
    const uint16_t* bits = random;
    for (size_t i = first; i < end; ++i, bits += s.dim) {
      if (i + ahead < rows.size()) {
        prefetch(static_cast<bf16*>(rows[i + ahead].values), s.dim);
        prefetch(rows[i + ahead].state, state_width);
      }
      auto* const row = static_cast<bf16*>(rows[i].values);
      for (int64_t c = 0; c < s.dim; ++c) values[c] = widened(row[c]);
      update(s, {values, rows[i].state, rows[i].gradient});
      for (int64_t c = 0; c < s.dim; ++c) row[c] = rounded_stochastically(values[c], bits[c]);
    }
  }
}

}  // namespace

uint64_t rounding_prefix(const std::string& table) {
  return stream_prefix("embedding rounding", stream_of(table));
}

void update_rows(const TableConfig& config, double grad_scale, double lr_scale, const RoundingKey& key,
                 std::span<const RowUpdate> rows) {
  AdamCorrections corrections(config.beta1, config.beta2);
  const Settings s{config.dim,
                   static_cast<float>(grad_scale),
                   static_cast<float>(config.learning_rate * lr_scale),
                   static_cast<float>(config.eps),
                   static_cast<float>(config.beta1),
                   static_cast<float>(config.beta2),
                   static_cast<float>(1 - config.beta1),
                   static_cast<float>(1 - config.beta2),
                   &corrections};
  const int64_t width = state_width_of(config.optimizer, config.dim);
  const bool is_bf16 = config.type == DType::bf16;
  std::vector<float> scratch(is_bf16 ? static_cast<size_t>(config.dim) : 0);
  std::vector<uint16_t> halves(drawn_together * scratch.size());
  float* const values = scratch.data();
  uint16_t* const random = halves.data();
  const auto with = [&](auto update) {
    if (is_bf16) {
      with_widest_vectors([=]() LIME_INLINE { for_bf16_rows(s, rows, width, key, values, random, update); });
    } else {
      with_widest_vectors([=]() LIME_INLINE { for_rows(s, rows, width, update); });
    }
  };
  switch (config.optimizer) {
    case SparseOptimizer::sgd:
      return with([](const Settings& t, const Row& r) LIME_INLINE { sgd(t, r); });
    case SparseOptimizer::rowwise_adagrad:
      return with([](const Settings& t, const Row& r) LIME_INLINE { rowwise_adagrad(t, r); });
    case SparseOptimizer::adagrad:
      return with([](const Settings& t, const Row& r) LIME_INLINE { adagrad(t, r); });
    case SparseOptimizer::adam:
      return with([](const Settings& t, const Row& r) LIME_INLINE { adam(t, r); });
  }
}

}  // namespace lime
