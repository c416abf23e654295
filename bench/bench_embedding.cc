// The sparse side of a training step: look-up, gradient and fused update of one table, on one thread or one
// GPU, beside the rate at which that device copies memory.
//
//   bench_embedding [--device cpu] [--rows 1000000] [--dim 64] [--ids 262144] [--micro-batches 1]
//                   [--optimizer adagrad] [--seconds 5]
//
// Ids are power-law (rows * u^4), gradients given. Prints one JSON object: milliseconds of the parts and of
// the step, the bytes that a step must move at the least, and at what part of the copy rate it moves them;
// the same for the gather alone (a row read and written an id), and for gradient, reduction and update (a
// gradient read an id, a row and its state read and written a distinct id). Checks first that a step does
// what it says: a wrong result is not timed.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "bench/memory_rate.h"
#include "embeddings/embedding_collection.h"
#include "runtime/host_copy.h"
#include "runtime/philox.h"
#include "runtime/primitives.h"

namespace {

using namespace lime;

struct Options {
  int64_t rows = 1000000, dim = 64, ids = 262144, micro_batches = 1;
  double seconds = 5;
  Device device;
  SparseOptimizer optimizer = SparseOptimizer::adagrad;
};

const std::map<std::string, SparseOptimizer> optimizers{{"sgd", SparseOptimizer::sgd},
                                                        {"rowwise_adagrad", SparseOptimizer::rowwise_adagrad},
                                                        {"adagrad", SparseOptimizer::adagrad},
                                                        {"adam", SparseOptimizer::adam}};

std::string name_of(SparseOptimizer optimizer) {
  return std::find_if(optimizers.begin(), optimizers.end(),
                      [=](const auto& o) { return o.second == optimizer; })
      ->first;
}

void add_options(CLI::App& app, Options& o) {
  app.add_option_function<std::string>("--device", [&o](const auto& name) { o.device = parse_device(name); });
  app.add_option("--rows", o.rows);
  app.add_option("--dim", o.dim);
  app.add_option("--ids", o.ids);
  app.add_option("--micro-batches", o.micro_batches);
  app.add_option("--optimizer", o.optimizer)->transform(CLI::CheckedTransformer(optimizers));
  app.add_option("--seconds", o.seconds);
}

// Gradients repeat after so many rows.
constexpr int64_t pattern_rows = 1 << 16;

class Bench {
 public:
  explicit Bench(const Options& o)
      : o_(o),
        per_batch_(o.ids / o.micro_batches),
        ctx_(o.device),
        collection_(
            ctx_, *comm_,
            {{.name = "t", .dim = o.dim, .init_std = 0.01, .optimizer = o.optimizer, .learning_rate = 0.01}},
            1),
        ids_(static_cast<size_t>(o.ids)),
        pattern_({}, DType::f32, std::min(o.ids, pattern_rows), o.dim),
        grad_(o.device, DType::f32, o.ids, o.dim),
        out_(o.device, DType::f32, o.ids, o.dim) {
    const Philox random(1, 1);
    for (int64_t i = 0; i < o.ids; ++i) {
      const double u = random.uniform(static_cast<uint64_t>(i));
      ids_[static_cast<size_t>(i)] =
          std::min(static_cast<int64_t>(static_cast<double>(o.rows) * u * u * u * u), o.rows - 1);
    }
    random.normals(pattern_.view().size(), 0.3f, pattern_.view().data<float>());
    for (int64_t i = 0; i < o.ids; i += pattern_rows) {
      const int64_t end = std::min(i + pattern_rows, o.ids);
      copy(ctx_, pattern_.view().slice_rows(0, end - i), grad_.view().slice_rows(i, end));
    }
    distinct_ = static_cast<double>(std::unordered_set<int64_t>(ids_.begin(), ids_.end()).size());
    fill_table();
  }

  std::unique_ptr<Lookup> look_up(std::span<const int64_t> ids, bool insert) {
    std::vector<std::vector<FeatureIds>> features;
    const size_t n = ids.size() / static_cast<size_t>(o_.micro_batches);
    for (int64_t m = 0; m < o_.micro_batches; ++m) {
      features.push_back({{0, Pooling::sum, ids.subspan(static_cast<size_t>(m) * n, n), {}}});
    }
    return collection_.begin_lookup(std::move(features), insert);
  }

  struct Times {
    double begin, finish, gather, gradient, reduce, update, all;
  };
  Times step() {
    const double t0 = done_ms();
    auto lookup = look_up(ids_, true);
    const double t1 = done_ms();
    collection_.finish_lookup(*lookup);
    const double t2 = done_ms();
    for (int64_t m = 0; m < o_.micro_batches; ++m) {
      collection_.gather(ctx_, *lookup, m, 0, out_.view().slice_rows(m * per_batch_, (m + 1) * per_batch_));
    }
    const double t3 = done_ms();
    for (int64_t m = 0; m < o_.micro_batches; ++m) {
      collection_.add_gradient(ctx_, *lookup, m, 0,
                               grad_.view().slice_rows(m * per_batch_, (m + 1) * per_batch_), true);
    }
    const double t4 = done_ms();
    collection_.reduce(*lookup, 0, o_.micro_batches);
    fill(ctx_, scalar_, 1);
    const double t5 = done_ms();
    collection_.update(*lookup, scalar_.view(), 1, 0);
    const double t6 = done_ms();
    return {t1 - t0, t2 - t1, t3 - t2, t4 - t3, t5 - t4, t6 - t5, t6 - t0};
  }

  double gradient_norm_ms() {
    auto lookup = look_up(ids_, true);
    collection_.finish_lookup(*lookup);
    for (int64_t m = 0; m < o_.micro_batches; ++m) {
      collection_.add_gradient(ctx_, *lookup, m, 0,
                               grad_.view().slice_rows(m * per_batch_, (m + 1) * per_batch_), true);
    }
    collection_.reduce(*lookup, 0, o_.micro_batches);
    const double begin = done_ms();
    collection_.gradient_sum_of_squares(*lookup, scalar_);
    return done_ms() - begin;
  }

  // Bytes that must be read or written: ids, rows and their copies, gradients once, rows and state read and
  // written.
  double least_bytes() const {
    const double rows = distinct(), row = static_cast<double>(o_.dim) * 4, n = static_cast<double>(o_.ids);
    return n * 8 + 2 * rows * row + n * row + update_bytes();
  }
  double gather_bytes() const { return 2 * static_cast<double>(o_.ids * o_.dim) * 4; }
  double update_bytes() const {
    const double row = static_cast<double>(o_.dim) * 4,
                 state = static_cast<double>(collection_.state_width(0)) * 4;
    return static_cast<double>(o_.ids) * row + 2 * distinct() * (row + state);
  }
  double distinct() const { return distinct_; }

  // An sgd-free check that holds for every optimizer: after a step a row moved against its summed gradient.
  bool moves_against_gradient() {
    const std::vector<float> before = first_row();
    std::vector<double> sum(static_cast<size_t>(o_.dim));
    for (int64_t i = 0; i < o_.ids; ++i) {
      if (ids_[static_cast<size_t>(i)] != ids_[0]) continue;
      const float* row = pattern_.view().row<float>(i % pattern_rows);
      for (int64_t c = 0; c < o_.dim; ++c) sum[static_cast<size_t>(c)] += row[c];
    }
    step();
    const std::vector<float> after = first_row();
    for (size_t c = 0; c < sum.size(); ++c)
      if (std::abs(sum[c]) > 1e-3 && (after[c] - before[c]) * sum[c] >= 0) return false;
    return true;
  }

  Context& context() { return ctx_; }

 private:
  // The time when the device is done with what it was given.
  double done_ms() {
    ctx_.synchronize();
    return now_ms();
  }

  // Of the first id.
  std::vector<float> first_row() {
    const auto look = look_up(ids_, false);
    collection_.finish_lookup(*look);
    collection_.gather(ctx_, *look, 0, 0, out_.view().slice_rows(0, per_batch_));
    const Tensor row = host_copy(ctx_, out_.view().slice_rows(0, 1));
    return {row.view().data<float>(), row.view().data<float>() + o_.dim};
  }

  // All rows exist before anything is timed, as in nn.Embedding.
  void fill_table() {
    std::vector<TableRows> buckets(static_cast<size_t>(virtual_buckets));
    for (int64_t id = 0; id < o_.rows; ++id) buckets[static_cast<size_t>(bucket_of(id))].ids.push_back(id);
    for (TableRows& rows : buckets) {
      rows.values.assign(rows.ids.size() * static_cast<size_t>(o_.dim), 0.01f);
      rows.state.assign(rows.ids.size() * static_cast<size_t>(collection_.state_width(0)), 0.0f);
      collection_.load_rows(0, rows);
      rows = {};
    }
  }

  Options o_;
  int64_t per_batch_;
  double distinct_ = 0;
  Context ctx_;
  std::unique_ptr<Communicator> comm_ = make_self_communicator();
  EmbeddingCollection collection_;
  std::vector<int64_t> ids_;
  Tensor pattern_;  // on the host
  Tensor grad_, out_, scalar_{o_.device, DType::f64, 1, 1};
};

template <typename Rate, typename... Arguments>
double best_rate(Arguments&... arguments) {
  Rate rate(arguments...);
  for (int i = 0; i < 5; ++i) rate.sample();
  return rate.best();
}

int run(const Options& o) {
  Bench bench(o);
  if (!bench.moves_against_gradient()) {
    std::fprintf(stderr, "bench_embedding: a step gives a wrong result; not timed\n");
    return 1;
  }
  const double copy_rate =
      o.device == Device{} ? best_rate<CopyRate>() : best_rate<DeviceCopyRate>(bench.context());
  for (int i = 0; i < 3; ++i) bench.step();
  std::vector<double> begin, finish, gather, gradient, reduce, update, backward, all, look;
  for (const double end = now_ms() + o.seconds * 1e3; all.size() < 5 || now_ms() < end;) {
    const auto t = bench.step();
    begin.push_back(t.begin), finish.push_back(t.finish), gather.push_back(t.gather),
        gradient.push_back(t.gradient);
    reduce.push_back(t.reduce), update.push_back(t.update), all.push_back(t.all);
    look.push_back(t.begin + t.finish + t.gather);
    backward.push_back(t.gradient + t.reduce + t.update);
  }
  const double bytes = bench.least_bytes(), ms = median(all);
  const auto of_copy_rate = [&](double moved, double in_ms) { return moved / in_ms / copy_rate; };
  std::printf(
      "{\"what\": \"embedding\", \"device\": \"%s\", \"rows\": %lld, \"dim\": %lld, \"ids\": %lld, "
      "\"distinct\": %.0f, "
      "\"micro_batches\": %lld, "
      "\"optimizer\": \"%s\", \"lookup_ms\": %.3f, \"median_ms\": %.3f, \"min_ms\": %.3f, \"runs\": %zu, "
      "\"begin_ms\": %.3f, \"finish_ms\": %.3f, \"gather_ms\": %.3f, \"gradient_ms\": %.3f, \"reduce_ms\": "
      "%.3f, "
      "\"update_ms\": %.3f, \"norm_ms\": %.3f, \"least_MB\": %.1f, \"copy_GB_per_s\": %.2f, "
      "\"of_copy_rate\": %.3f, \"gather_of_copy_rate\": %.3f, \"update_of_copy_rate\": %.3f}\n",
      to_string(o.device).c_str(), static_cast<long long>(o.rows), static_cast<long long>(o.dim),
      static_cast<long long>(o.ids), bench.distinct(), static_cast<long long>(o.micro_batches),
      name_of(o.optimizer).c_str(), median(look), ms, *std::min_element(all.begin(), all.end()), all.size(),
      median(begin), median(finish), median(gather), median(gradient), median(reduce), median(update),
      bench.gradient_norm_ms(), bytes / 1e6, copy_rate / 1e6, of_copy_rate(bytes, ms),
      of_copy_rate(bench.gather_bytes(), median(gather)),
      of_copy_rate(bench.update_bytes(), median(backward)));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The sparse side of a training step on one thread or one GPU");
  Options options;
  add_options(app, options);
  try {
    app.parse(argc, argv);
    return run(options);
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  } catch (const Error& e) {
    std::fprintf(stderr, "bench_embedding: %s\n", e.what());
    return 2;
  }
}
