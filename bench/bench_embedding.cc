// The sparse side of a training step: look-up, gradient and fused update of one table, on one thread or one
// GPU, beside the rate at which that device copies memory.
//
//   [mpirun -np 2] bench_embedding [--device cpu] [--rows 1000000] [--dim 64] [--ids 262144]
//                                  [--micro-batches 1] [--optimizer adagrad] [--type f32] [--seconds 5]
//                                  [--write DIR]
//
// On several ranks of a CPU each looks up its part of the ids, and each time is that of the slowest.
// --write (on one rank): what another program needs to take the same first step and compare, as bare numbers:
// ids.i64, gradients.f32 (of the first ids; they repeat), and all rows after that step and their state,
// rows.f32 and state.f32. Rows are 0.01 before.
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
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "bench/memory_rate.h"
#include "embeddings/embedding_collection.h"
#include "parallel/process_group.h"
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
  DType type = DType::f32;
  std::string write;
};

const std::map<std::string, SparseOptimizer> optimizers{{"sgd", SparseOptimizer::sgd},
                                                        {"rowwise_adagrad", SparseOptimizer::rowwise_adagrad},
                                                        {"adagrad", SparseOptimizer::adagrad},
                                                        {"adam", SparseOptimizer::adam}};

const std::map<std::string, DType> types{{"f32", DType::f32}, {"bf16", DType::bf16}};

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
  app.add_option("--type", o.type)->transform(CLI::CheckedTransformer(types));
  app.add_option("--seconds", o.seconds);
  app.add_option("--write", o.write, "directory");
}

// Gradients repeat after so many rows.
constexpr int64_t pattern_rows = 1 << 16;

constexpr float first_value = 0.01f;

void check_options(const Options& o, int ranks) {
  if (o.ids % (ranks * o.micro_batches) != 0)
    throw UserError("--ids is not a multiple of ranks x --micro-batches");
  if (ranks > 1 && o.device != Device{}) throw UserError("several ranks: --device cpu only");
  if (ranks > 1 && !o.write.empty()) throw UserError("--write: on one rank only");
}

class Bench {
 public:
  Bench(const Options& o, Communicator& comm)
      : o_(o),
        comm_(comm),
        mine_(o.ids / comm.size()),
        per_batch_(mine_ / o.micro_batches),
        ctx_(o.device),
        collection_(ctx_, comm_,
                    {{.name = "t",
                      .dim = o.dim,
                      .type = o.type,
                      .init_std = 0.01,
                      .optimizer = o.optimizer,
                      .learning_rate = 0.01}},
                    1),
        ids_(static_cast<size_t>(o.ids)),
        pattern_({}, DType::f32, std::min(o.ids, pattern_rows), o.dim),
        grad_(o.device, DType::f32, mine_, o.dim),
        out_(o.device, DType::f32, mine_, o.dim) {
    const Philox random(1, 1);
    for (int64_t i = 0; i < o.ids; ++i) {
      const double u = random.uniform(static_cast<uint64_t>(i));
      ids_[static_cast<size_t>(i)] =
          std::min(static_cast<int64_t>(static_cast<double>(o.rows) * u * u * u * u), o.rows - 1);
    }
    random.normals(pattern_.view().size(), 0.3f, pattern_.view().data<float>());
    const int64_t first = first_of_mine();
    for (int64_t i = first, end = 0; i < first + mine_; i = end) {
      end = std::min((i / pattern_rows + 1) * pattern_rows, first + mine_);
      copy(ctx_, pattern_.view().slice_rows(i % pattern_rows, i % pattern_rows + end - i),
           grad_.view().slice_rows(i - first, end - first));
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
    double begin, finish, gather, gradient, reduce, update, look, all;
  };
  // Each time is the slowest rank's.
  Times step() {
    comm_.barrier()->wait();
    const double t0 = done_ms();
    auto lookup = look_up(my_ids(), true);
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
    reduce(*lookup);
    fill(ctx_, scalar_, 1);
    const double t5 = done_ms();
    collection_.update(*lookup, scalar_.view(), 1, ++steps_);
    const double t6 = done_ms();
    const auto t = slowest({t1 - t0, t2 - t1, t3 - t2, t4 - t3, t5 - t4, t6 - t5, t3 - t0, t6 - t0});
    return {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]};
  }
  // The largest of each over the ranks: the same on all.
  std::vector<double> slowest(std::vector<double> mine) {
    const std::vector<double> all = all_gather_values(comm_, mine);
    for (size_t i = 0; i < all.size(); ++i) mine[i % mine.size()] = std::max(mine[i % mine.size()], all[i]);
    return mine;
  }

  double gradient_norm_ms() {
    auto lookup = look_up(my_ids(), true);
    collection_.finish_lookup(*lookup);
    for (int64_t m = 0; m < o_.micro_batches; ++m) {
      collection_.add_gradient(ctx_, *lookup, m, 0,
                               grad_.view().slice_rows(m * per_batch_, (m + 1) * per_batch_), true);
    }
    reduce(*lookup);
    const double begin = done_ms();
    collection_.gradient_sum_of_squares(*lookup, scalar_);
    return done_ms() - begin;
  }

  // Bytes that must be read or written: ids, rows and their copies, gradients once, rows and state read and
  // written.
  double least_bytes() const {
    const double n = static_cast<double>(o_.ids);
    return n * 8 + 2 * distinct() * stored_row() + n * f32_row() + update_bytes();
  }
  double gather_bytes() const { return static_cast<double>(o_.ids) * (stored_row() + f32_row()); }
  double update_bytes() const {
    const double state = static_cast<double>(collection_.state_width(0)) * 4;
    return static_cast<double>(o_.ids) * f32_row() + 2 * distinct() * (stored_row() + state);
  }
  double f32_row() const { return static_cast<double>(o_.dim) * 4; }
  double stored_row() const { return static_cast<double>(o_.dim) * static_cast<double>(size_of(o_.type)); }
  int64_t table_bytes() const { return collection_.bytes(); }
  double distinct() const { return distinct_; }

  // An sgd-free check that holds for every optimizer: after a step a row moved against its summed gradient.
  bool moves_against_gradient() {
    const std::vector<float> before = row_of(ids_[0]);
    std::vector<double> sum(static_cast<size_t>(o_.dim));
    for (int64_t i = 0; i < o_.ids; ++i) {
      if (ids_[static_cast<size_t>(i)] != ids_[0]) continue;
      const float* row = pattern_.view().row<float>(i % pattern_rows);
      for (int64_t c = 0; c < o_.dim; ++c) sum[static_cast<size_t>(c)] += row[c];
    }
    step();
    const std::vector<float> after = row_of(ids_[0]);
    for (size_t c = 0; c < sum.size(); ++c)
      if (std::abs(sum[c]) > 1e-3 && (after[c] - before[c]) * sum[c] >= 0) return false;
    return true;
  }

  // All rows, by id; ids that were in no step have their first value.
  void write(const std::filesystem::path& directory) const {
    const auto dim = static_cast<size_t>(o_.dim), width = static_cast<size_t>(collection_.state_width(0));
    std::vector<float> values(static_cast<size_t>(o_.rows) * dim),
        state(static_cast<size_t>(o_.rows) * width);
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows rows = collection_.bucket_rows(0, bucket);
      for (size_t i = 0; i < rows.ids.size(); ++i) {
        const auto id = static_cast<size_t>(rows.ids[i]);
        std::copy_n(rows.values.data() + i * dim, dim, values.data() + id * dim);
        std::copy_n(rows.state.data() + i * width, width, state.data() + id * width);
      }
    }
    const auto file = [&](const char* name, const auto* numbers, size_t count) {
      std::ofstream out(directory / name, std::ios::binary);
      out.write(reinterpret_cast<const char*>(numbers),
                static_cast<std::streamsize>(count * sizeof(*numbers)));
      if (!out.flush()) throw UserError(str((directory / name).string(), ": cannot be written"));
    };
    file("ids.i64", ids_.data(), ids_.size());
    file("gradients.f32", pattern_.view().data<float>(), static_cast<size_t>(pattern_.view().size()));
    file("rows.f32", values.data(), values.size());
    file("state.f32", state.data(), state.size());
  }

  Context& context() { return ctx_; }

 private:
  // The time when the device is done with what it was given.
  double done_ms() {
    ctx_.synchronize();
    return now_ms();
  }

  int64_t first_of_mine() const { return comm_.rank() * mine_; }
  std::span<const int64_t> my_ids() const {
    return std::span(ids_).subspan(static_cast<size_t>(first_of_mine()), static_cast<size_t>(mine_));
  }
  void reduce(Lookup& lookup) {
    collection_.reduce(lookup, comm_.rank() * o_.micro_batches, comm_.size() * o_.micro_batches);
  }

  std::vector<float> row_of(int64_t id) {
    const std::vector<int64_t> ids(static_cast<size_t>(mine_), id);
    const auto look = look_up(ids, false);
    collection_.finish_lookup(*look);
    collection_.gather(ctx_, *look, 0, 0, out_.view().slice_rows(0, per_batch_));
    const Tensor row = host_copy(ctx_, out_.view().slice_rows(0, 1));
    return {row.view().data<float>(), row.view().data<float>() + o_.dim};
  }

  // All rows exist before anything is timed, as in nn.Embedding.
  void fill_table() {
    std::vector<TableRows> buckets(static_cast<size_t>(virtual_buckets));
    for (int64_t id = 0; id < o_.rows; ++id) buckets[static_cast<size_t>(bucket_of(id))].ids.push_back(id);
    for (size_t bucket = 0; bucket < buckets.size(); ++bucket) {
      if (owner_of(static_cast<int64_t>(bucket), comm_.size()) != comm_.rank()) continue;
      TableRows& rows = buckets[bucket];
      rows.values.assign(rows.ids.size() * static_cast<size_t>(o_.dim), first_value);
      rows.state.assign(rows.ids.size() * static_cast<size_t>(collection_.state_width(0)), 0.0f);
      collection_.load_rows(0, rows);
      rows = {};
    }
  }

  Options o_;
  Communicator& comm_;
  int64_t mine_;  // ids of this rank
  int64_t per_batch_;
  double distinct_ = 0;
  int64_t steps_ = 0;
  Context ctx_;
  EmbeddingCollection collection_;
  std::vector<int64_t> ids_;  // of all ranks
  Tensor pattern_;            // on the host
  Tensor grad_, out_, scalar_{o_.device, DType::f64, 1, 1};
};

template <typename Rate, typename... Arguments>
double best_rate(Arguments&... arguments) {
  Rate rate(arguments...);
  for (int i = 0; i < 5; ++i) rate.sample();
  return rate.best();
}

int run(const Options& o, Communicator& comm) {
  check_options(o, comm.size());
  Bench bench(o, comm);
  if (!bench.moves_against_gradient()) {
    std::fprintf(stderr, "bench_embedding: a step gives a wrong result; not timed\n");
    return 1;
  }
  if (!o.write.empty()) bench.write(o.write);
  const double copy_rate =
      o.device == Device{} ? best_rate<CopyRate>() : best_rate<DeviceCopyRate>(bench.context());
  for (int i = 0; i < 3; ++i) bench.step();
  std::vector<double> begin, finish, gather, gradient, reduce, update, backward, all, look;
  for (const double start = now_ms();
       all.size() < 5 || bench.slowest({now_ms() - start})[0] < o.seconds * 1e3;) {
    const auto t = bench.step();
    begin.push_back(t.begin), finish.push_back(t.finish), gather.push_back(t.gather),
        gradient.push_back(t.gradient);
    reduce.push_back(t.reduce), update.push_back(t.update), all.push_back(t.all);
    look.push_back(t.look);
    backward.push_back(t.gradient + t.reduce + t.update);
  }
  const double bytes = bench.least_bytes(), ms = median(all);
  const double norm = bench.gradient_norm_ms();
  if (comm.rank() != 0) return 0;
  const auto of_copy_rate = [&](double moved, double in_ms) { return moved / in_ms / copy_rate; };
  std::printf(
      "{\"what\": \"embedding\", \"device\": \"%s\", \"ranks\": %d, \"rows\": %lld, \"dim\": %lld, \"ids\": "
      "%lld, "
      "\"distinct\": %.0f, "
      "\"micro_batches\": %lld, "
      "\"optimizer\": \"%s\", \"type\": \"%s\", \"table_MB\": %.1f, \"lookup_ms\": %.3f, \"median_ms\": "
      "%.3f, \"min_ms\": %.3f, \"runs\": %zu, "
      "\"begin_ms\": %.3f, \"finish_ms\": %.3f, \"gather_ms\": %.3f, \"gradient_ms\": %.3f, \"reduce_ms\": "
      "%.3f, "
      "\"update_ms\": %.3f, \"norm_ms\": %.3f, \"least_MB\": %.1f, \"copy_GB_per_s\": %.2f, "
      "\"of_copy_rate\": %.3f, \"gather_of_copy_rate\": %.3f, \"update_of_copy_rate\": %.3f}\n",
      to_string(o.device).c_str(), comm.size(), static_cast<long long>(o.rows), static_cast<long long>(o.dim),
      static_cast<long long>(o.ids), bench.distinct(), static_cast<long long>(o.micro_batches),
      name_of(o.optimizer).c_str(), to_string(o.type), static_cast<double>(bench.table_bytes()) / 1e6,
      median(look), ms, *std::min_element(all.begin(), all.end()), all.size(), median(begin), median(finish),
      median(gather), median(gradient), median(reduce), median(update), norm, bytes / 1e6, copy_rate / 1e6,
      of_copy_rate(bytes, ms), of_copy_rate(bench.gather_bytes(), median(gather)),
      of_copy_rate(bench.update_bytes(), median(backward)));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  ProcessGroup group(&argc, &argv);
  CLI::App app("The sparse side of a training step on one thread or one GPU");
  Options options;
  add_options(app, options);
  try {
    app.parse(argc, argv);
    return run(options, group.world());
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  } catch (const Error& e) {
    std::fprintf(stderr, "bench_embedding: %s\n", e.what());
    return 2;
  }
}
