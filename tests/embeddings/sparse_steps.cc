#include "tests/embeddings/sparse_steps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "parallel/comm_staged.h"
#include "parallel/tree_sum.h"
#include "runtime/host_copy.h"
#include "runtime/philox.h"

namespace lime {

std::vector<TableConfig> test_tables(SparseOptimizer optimizer) {
  return {{.name = "items", .dim = 16, .optimizer = optimizer},
          {.name = "users",
           .dim = 7,
           .capacity = 61,
           .init_std = 0.2,
           .optimizer = optimizer,
           .initial_accumulator = 0.1},
          {.name = "tags", .dim = 33, .optimizer = optimizer, .learning_rate = 0.2},
          {.name = "unused", .dim = 4, .optimizer = optimizer}};
}

std::vector<TableConfig> test_tables_in_bf16(SparseOptimizer optimizer) {
  auto tables = test_tables(optimizer);
  for (const size_t t : {1, 2}) tables[t].type = DType::bf16;  // of odd numbers of columns
  return tables;
}

std::vector<TableConfig> test_tables_that_wait(SparseOptimizer optimizer) {
  auto tables = test_tables_in_bf16(optimizer);
  tables[0].admit_after = 3;
  tables[1].admit_after = 2;
  return tables;
}

Batch make_batch(uint64_t seed, int64_t step, int64_t leaves) {
  const Philox random(seed, stream_of("test batch", static_cast<uint64_t>(step)));
  uint64_t at = 0;
  const auto below = [&](uint64_t n) { return static_cast<int64_t>(random.below(n, at++)); };
  const auto skewed = [&](double n) { return static_cast<int64_t>(n * std::pow(random.uniform(at++), 3)); };
  const auto single = [&](int64_t table, double distinct, uint64_t rows) {
    Feature f{table, Pooling::sum, {}, {}};
    for (int64_t i = below(rows); i > 0; --i) f.ids.push_back(below(10) == 0 ? -1 : skewed(distinct));
    if (below(3) == 0) f.ids.push_back(int64_t{1} << 40 | step << 20 | below(100));  // of this step alone
    return f;
  };
  const auto list = [&](int64_t table, Pooling pooling, double distinct) {
    Feature f{table, pooling, {}, {0}};
    for (int64_t i = below(20); i >= 0; --i) {
      for (int64_t k = below(6); k > 0; --k) f.ids.push_back(below(8) == 0 ? -1 : skewed(distinct));
      f.offsets.push_back(static_cast<int64_t>(f.ids.size()));
    }
    return f;
  };
  Batch batch;
  for (int64_t m = 0; m < leaves; ++m) {
    batch.push_back({single(0, 300, 120), single(0, 20, 10), single(1, 500, 40), list(2, Pooling::mean, 90),
                     list(0, Pooling::sum, 40), list(1, Pooling::mean, 30)});
  }
  return batch;
}

double gradient_at(int64_t step, int64_t m, size_t f, int64_t i, int64_t c, double gathered) {
  const Philox random(77, stream_of("test gradient", static_cast<uint64_t>(step), static_cast<uint64_t>(m)));
  return 2 * gathered + random.normal(f << 40 | static_cast<uint64_t>(i) << 16 | static_cast<uint64_t>(c));
}

double sum_of_squares(Context& ctx, EmbeddingCollection& collection, Lookup& lookup) {
  const Tensor sum(ctx.device(), DType::f64, 1, 1);
  collection.gradient_sum_of_squares(lookup, sum);
  return host_copy(ctx, sum.view()).view().data<double>()[0];
}

std::unique_ptr<Communicator> device_communicator(Context& ctx, Communicator& host) {
  if (ctx.device() == Device{} || host.size() == 1) return nullptr;
  return make_staged_communicator(host, ctx);
}

StepTrainer::StepTrainer(Context& ctx, Communicator& comm, std::vector<TableConfig> tables, uint64_t seed,
                         TableMemory memory)
    : ctx_(ctx),
      comm_(comm),
      on_device_(device_communicator(ctx, comm)),
      collection_(ctx, comm, std::move(tables), seed, on_device_.get(), memory) {}

std::unique_ptr<Lookup> StepTrainer::begin(const Batch& batch, bool insert) {
  const auto [first, last] = leaves_of(static_cast<int64_t>(batch.size()), comm_.rank(), comm_.size());
  std::vector<std::vector<FeatureIds>> features;
  for (int64_t m = first; m < last; ++m) {
    features.emplace_back();
    for (const Feature& f : batch[static_cast<size_t>(m)]) {
      features.back().push_back({f.table, f.pooling, f.ids, f.offsets});
    }
  }
  return collection_.begin_lookup(std::move(features), insert);
}

void StepTrainer::compute(const Batch& batch, Lookup& lookup, int64_t step, const Seen& seen) {
  const auto [first, last] = leaves_of(static_cast<int64_t>(batch.size()), comm_.rank(), comm_.size());
  for (int64_t m = first; m < last; ++m) {
    for (size_t f = 0; f < batch[static_cast<size_t>(m)].size(); ++f) {
      const Feature& feature = batch[static_cast<size_t>(m)][f];
      const int64_t dim = collection_.tables()[static_cast<size_t>(feature.table)].dim;
      // Columns of a wider input, which begin where packs of four do or elsewhere. They stay until the
      // update.
      const bool packs = (step + static_cast<int64_t>(f)) % 2 == 0;
      const int64_t column = packs ? 4 : 3, columns = packs ? (dim + 8) / 4 * 4 : dim + 5;
      const Tensor& memory =
          inputs_[&lookup].emplace_back(ctx_.device(), DType::f32, feature.rows(), columns);
      const View x = memory.view().slice_cols(column, column + dim);
      fill(ctx_, memory, -99);
      collection_.gather(ctx_, lookup, m - first, static_cast<int64_t>(f), x);
      const Tensor host = host_copy(ctx_, memory.view());
      std::vector<double> values;
      for (int64_t i = 0; i < feature.rows(); ++i) {
        float* row = host.view().row<float>(i);
        EXPECT_EQ(row[column - 1], -99);
        EXPECT_EQ(row[column + dim], -99);
        for (int64_t c = 0; c < dim; ++c) {
          float& at = row[column + c];
          values.push_back(at);
          at = static_cast<float>(gradient_at(step, m, f, i, c, at));
        }
      }
      copy(ctx_, host.view(), memory);
      if (seen) seen(m, f, values);
      collection_.add_gradient(ctx_, lookup, m - first, static_cast<int64_t>(f), x, true);
    }
  }
}

double StepTrainer::apply(const Batch& batch, Lookup& lookup, int64_t step) {
  const auto leaves = static_cast<int64_t>(batch.size());
  collection_.reduce(lookup, leaves_of(leaves, comm_.rank(), comm_.size()).first, leaves);
  const double sum = sum_of_squares(ctx_, collection_, lookup);
  collection_.update(lookup, device_scalar(ctx_, test_grad_scale).view(), test_lr_scale(step), step);
  inputs_.erase(&lookup);
  return sum;
}

double StepTrainer::run_step(const Batch& batch, int64_t step, const Seen& seen) {
  const auto lookup = begin(batch);
  collection_.finish_lookup(*lookup);
  compute(batch, *lookup, step, seen);
  return apply(batch, *lookup, step);
}

// --- reference ---------------------------------------------------------------------------------

int64_t ReferenceTables::fold(size_t table, int64_t id) const {
  const int64_t capacity = tables_[table].capacity;
  return capacity > 0 && id >= 0 ? id % capacity : id;
}

ReferenceTables::Row& ReferenceTables::row(std::map<int64_t, Row>& rows, size_t table, int64_t id) {
  const auto [at, is_new] = rows.try_emplace(id);
  Row& row = at->second;
  if (is_new) {
    const TableConfig& t = tables_[table];
    const Philox random(seed_, stream_of("embedding", stream_of(t.name), static_cast<uint64_t>(id)));
    const auto n = static_cast<size_t>(t.dim);
    for (size_t c = 0; c < n; ++c) row.values.push_back(random.normal_f32(c) * t.init_std);
    row.sum.assign(n, t.initial_accumulator);
    row.m.assign(n, 0), row.v.assign(n, 0);
    row.row_sum = t.initial_accumulator;
  }
  return row;
}

std::vector<double> ReferenceTables::gather(const Feature& f) {
  const auto table = static_cast<size_t>(f.table);
  const auto dim = static_cast<size_t>(tables_[table].dim);
  std::vector<double> out;
  for (size_t i = 0; i < static_cast<size_t>(f.rows()); ++i) {
    const auto begin = f.offsets.empty() ? i : static_cast<size_t>(f.offsets[i]);
    const auto end = f.offsets.empty() ? i + 1 : static_cast<size_t>(f.offsets[i + 1]);
    std::vector<double> sum(dim);
    double n = 0;
    for (size_t o = begin; o < end; ++o) {
      if (f.ids[o] < 0) continue;
      ++n;
      auto& trained = trained_[table];
      std::map<int64_t, Row> unseen;
      const int64_t id = fold(table, f.ids[o]);
      const Row& r = trained.contains(id) ? trained[id] : row(unseen, table, id);
      for (size_t c = 0; c < dim; ++c) sum[c] += r.values[c];
    }
    const double share = !f.offsets.empty() && f.pooling == Pooling::mean && n > 0 ? 1 / n : 1;
    for (size_t c = 0; c < dim; ++c) out.push_back(sum[c] * share);
  }
  return out;
}

double ReferenceTables::run_step(const Batch& batch, int64_t step) {
  std::map<std::pair<size_t, int64_t>, std::vector<double>> gradients;
  for (size_t m = 0; m < batch.size(); ++m) {
    for (size_t k = 0; k < batch[m].size(); ++k) {
      const Feature& f = batch[m][k];
      const auto table = static_cast<size_t>(f.table);
      const auto dim = static_cast<size_t>(tables_[table].dim);
      const auto x = gather(f);
      for (size_t i = 0; i < static_cast<size_t>(f.rows()); ++i) {
        const auto begin = f.offsets.empty() ? i : static_cast<size_t>(f.offsets[i]);
        const auto end = f.offsets.empty() ? i + 1 : static_cast<size_t>(f.offsets[i + 1]);
        double n = 0;
        for (size_t o = begin; o < end; ++o) n += f.ids[o] >= 0;
        const double share = !f.offsets.empty() && f.pooling == Pooling::mean && n > 0 ? 1 / n : 1;
        for (size_t o = begin; o < end; ++o) {
          if (f.ids[o] < 0) continue;
          auto& g = gradients[{table, fold(table, f.ids[o])}];
          g.resize(dim);
          for (size_t c = 0; c < dim; ++c) {
            g[c] += share * gradient_at(step, static_cast<int64_t>(m), k, static_cast<int64_t>(i),
                                        static_cast<int64_t>(c), x[i * dim + c]);
          }
        }
      }
    }
  }
  double squares = 0;
  for (const auto& [key, gradient] : gradients) {
    const TableConfig& t = tables_[key.first];
    if (!trained_[key.first].contains(key.second)) {
      auto& waiting = waiting_[key.first];
      if (++waiting[key.second] < t.admit_after) continue;
      waiting.erase(key.second);
    }
    Row& r = row(trained_[key.first], key.first, key.second);
    ++r.updates;
    double mean_square = 0;
    for (const double g : gradient) {
      squares += g * g;
      mean_square += g * g * test_grad_scale * test_grad_scale / static_cast<double>(t.dim);
    }
    r.row_sum += mean_square;
    const double lr = t.learning_rate * test_lr_scale(step);
    for (size_t c = 0; c < gradient.size(); ++c) {
      const double g = test_grad_scale * gradient[c];
      r.sum[c] += g * g;
      r.m[c] = t.beta1 * r.m[c] + (1 - t.beta1) * g;
      r.v[c] = t.beta2 * r.v[c] + (1 - t.beta2) * g * g;
      const double m = r.m[c] / (1 - std::pow(t.beta1, r.updates)),
                   v = r.v[c] / (1 - std::pow(t.beta2, r.updates));
      switch (t.optimizer) {
        case SparseOptimizer::sgd:
          r.values[c] -= lr * g;
          break;
        case SparseOptimizer::rowwise_adagrad:
          r.values[c] -= lr * g / (std::sqrt(r.row_sum) + t.eps);
          break;
        case SparseOptimizer::adagrad:
          r.values[c] -= lr * g / (std::sqrt(r.sum[c]) + t.eps);
          break;
        case SparseOptimizer::adam:
          r.values[c] -= lr * m / (std::sqrt(v) + t.eps);
          break;
      }
    }
  }
  return squares;
}

namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace

void expect_same_rows(const EmbeddingCollection& some, Communicator& comm, const EmbeddingCollection& all) {
  for (size_t t = 0; t < some.tables().size(); ++t) {
    const auto table = static_cast<int64_t>(t);
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows got = some.bucket_rows(table, bucket);
      if (owner_of(bucket, comm.size()) != comm.rank()) {
        ASSERT_TRUE(got.ids.empty() && got.waiting.ids.empty());
        continue;
      }
      const TableRows expected = all.bucket_rows(table, bucket);
      ASSERT_EQ(got.ids, expected.ids) << "table " << t << " bucket " << bucket;
      ASSERT_TRUE(same_bits(got.values, expected.values)) << "table " << t << " bucket " << bucket;
      ASSERT_TRUE(same_bits(got.state, expected.state)) << "table " << t << " bucket " << bucket;
      ASSERT_EQ(got.waiting.ids, expected.waiting.ids) << "table " << t << " bucket " << bucket;
      ASSERT_EQ(got.waiting.steps, expected.waiting.steps) << "table " << t << " bucket " << bucket;
      ASSERT_EQ(got.waiting.idle, expected.waiting.idle) << "table " << t << " bucket " << bucket;
    }
  }
}

}  // namespace lime
