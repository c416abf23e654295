// Histories in parts on several ranks: each rank's model of its part gives the logits of whole histories for
// its candidates, and the ranks' gradients are parts of theirs.
#include "layers/history_parts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "layers/ranking_model.h"
#include "parallel/device_communicator.h"
#include "tests/layers/gradient_check.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

// Rows [begin, end) of each segment.
struct Cut {
  std::vector<int64_t> begin, end;

  std::vector<int64_t> lengths() const {
    std::vector<int64_t> all;
    for (size_t b = 0; b < begin.size(); ++b) all.push_back(end[b] - begin[b]);
    return all;
  }
};

// Part `part` of `parts` of segments of these lengths. Parts are of all sizes, and some have no rows.
Cut part_of(const std::vector<int64_t>& lengths, int part, int parts) {
  const auto bound = [&](size_t b, int p) {
    if (p == 0 || p == parts) return p == 0 ? 0 : lengths[b];
    if (b % 3 == 1) return lengths[b];  // all of it is in the first
    const int64_t even = lengths[b] * p / parts;
    return b % 3 == 2 ? even / 2 : even;
  };
  Cut cut;
  for (size_t b = 0; b < lengths.size(); ++b)
    cut.begin.push_back(bound(b, part)), cut.end.push_back(bound(b, part + 1));
  return cut;
}

// The values of those rows of a matrix whose segments lie end to end.
std::vector<double> rows_of(const std::vector<double>& values, int64_t cols,
                            const std::vector<int64_t>& lengths, const Cut& cut) {
  std::vector<double> rows;
  int64_t first = 0;
  for (size_t b = 0; b < lengths.size(); first += lengths[b++])
    rows.insert(rows.end(), values.begin() + (first + cut.begin[b]) * cols,
                values.begin() + (first + cut.end[b]) * cols);
  return rows;
}

using Values = std::map<std::string, std::vector<double>>;

struct Batch {
  std::vector<int64_t> histories, impressions;
  std::vector<double> history, candidates, user, dlogits;
};

RankingModelConfig config_of(const std::string& name, int64_t width, int64_t links) {
  RankingModelConfig c;
  c.name = name;
  c.history_features = 5, c.candidate_features = 4, c.user_features = 3;
  c.width = width, c.heads = 2, c.links = links, c.blocks = 2, c.head_hidden = 7, c.max_positions = 6,
  c.tasks = 2;
  return c;
}

class HistoryPartsTest : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  HistoryPartsTest()
      : DeviceTest(GetParam().type == DeviceType::cpu ? Device{} : Device{GetParam().type, 0}) {}

  // Logits and all gradients, by name.
  static Values step(Context& on, const RankingModelConfig& c, const Batch& batch,
                     const HistoryParts& parts) {
    ParameterStore store;
    RankingModel model(c, store);
    store.allocate(on, 7);
    on.synchronize();  // what follows is written by another context
    uint64_t seed = 100;
    for (auto& p : store.all())  // what begins as zero or one would hide mistakes
      if (p.init == Init::zeros || p.init == Init::ones) fill_random(p.master, ++seed, 0.3);
    store.refresh(on);
    const DeviceJagged history(on, offsets_of(batch.histories)), shown(on, offsets_of(batch.impressions));
    const auto matrix = [&](const std::vector<double>& values, int64_t rows, int64_t cols) {
      Tensor t(on.device(), on.dtype(), rows, cols);
      set_values(t, values);
      return t;
    };
    const auto requests = static_cast<int64_t>(batch.histories.size());
    const Jagged &h = history, &s = shown;
    Tensor x = matrix(batch.history, h.rows(), c.history_features),
           y = matrix(batch.candidates, s.rows(), c.candidate_features),
           u = matrix(batch.user, requests, c.user_features);
    Tensor logits(on.device(), on.parameter_dtype(), s.rows(), c.tasks),
        dlogits(on.device(), on.parameter_dtype(), s.rows(), c.tasks);
    set_values(dlogits, batch.dlogits);
    Tensor dx = matrix(batch.history, x.rows(), x.cols()), dy = matrix(batch.candidates, y.rows(), y.cols()),
           du = matrix(batch.user, u.rows(), u.cols());
    model.forward(on, {x.view(), y.view(), u.view(), history, shown, parts}, logits);
    model.backward(on, dlogits.view(), {dx, dy, du});
    on.synchronize();
    Values all{{"logits", values_of(logits.view())},
               {"history", values_of(dx.view())},
               {"candidates", values_of(dy.view())},
               {"user", values_of(du.view())}};
    for (const auto& p : store.all()) all[p.name] = values_of(p.grad);
    return all;
  }

  static Batch make_batch(const RankingModelConfig& c, const std::vector<int64_t>& histories,
                          const std::vector<int64_t>& impressions) {
    Context host(Device{}, DType::f64);
    const auto random = [&](int64_t rows, int64_t cols, uint64_t seed) {
      const Tensor t = random_tensor(host, rows, cols, seed);
      return values_of(t.view());
    };
    const int64_t h = offsets_of(histories).back(), s = offsets_of(impressions).back();
    return {histories,
            impressions,
            random(h, c.history_features, 1),
            random(s, c.candidate_features, 2),
            random(static_cast<int64_t>(histories.size()), c.user_features, 3),
            random(s, c.tasks, 4)};
  }

  // Against the same step over whole histories, in the same type on this rank alone.
  void check(Context& on, const RankingModelConfig& c, Batch batch, double tolerance) {
    ProcessGroup& group = test_group();
    const auto comm = make_device_communicator(group.world(), on);
    const Values whole = step(on, c, batch, {});

    const Cut history = part_of(batch.histories, group.rank(), group.size()),
              shown = part_of(batch.impressions, group.rank(), group.size());
    std::vector<int64_t> later;
    for (size_t b = 0; b < history.end.size(); ++b) later.push_back(batch.histories[b] - history.end[b]);
    const DeviceJagged whole_offsets(on, offsets_of(batch.histories)), later_offsets(on, offsets_of(later));
    Batch part = batch;
    part.history = rows_of(batch.history, c.history_features, batch.histories, history);
    part.candidates = rows_of(batch.candidates, c.candidate_features, batch.impressions, shown);
    part.dlogits = rows_of(batch.dlogits, c.tasks, batch.impressions, shown);
    part.histories = history.lengths(), part.impressions = shown.lengths();
    const Values mine = step(on, c, part, {comm.get(), whole_offsets, later_offsets});

    ASSERT_EQ(mine.size(), whole.size());
    for (const auto& [name, values] : mine) {
      std::vector<double> got = values, want = whole.at(name);
      if (name == "history")
        want = rows_of(want, c.history_features, batch.histories, history);
      else if (name == "candidates")
        want = rows_of(want, c.candidate_features, batch.impressions, shown);
      else if (name == "logits")
        want = rows_of(want, c.tasks, batch.impressions, shown);
      else  // a part of the batch's
        group.world()
            .all_reduce(View(got.data(), 1, static_cast<int64_t>(got.size())), ReduceOp::sum)
            ->wait();
      ASSERT_EQ(got.size(), want.size()) << name;
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], want[i], tolerance * std::max(1.0, std::abs(want[i]))) << name << "[" << i << "]";
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, HistoryPartsTest, testing::ValuesIn(test_devices()), device_name);

const std::vector<std::string> models{"lime_xor", "lime_mha"};
// Empty histories, shorter ones than ranks, others over several tiles; requests without candidates. The
// emulator takes its time.
std::vector<int64_t> some_histories(Device device) { return {7, 0, device == Device{} ? 1300 : 40, 2, 1}; }
const std::vector<int64_t> some_impressions{3, 1, 0, 9, 1};

TEST_P(HistoryPartsTest, GiveTheLogitsAndGradientsOfWholeHistories) {
  for (const auto& name : models) {
    SCOPED_TRACE(name);
    Context on(ctx.device(), DType::f64);
    const RankingModelConfig c = config_of(name, 6, 5);
    check(on, c, make_batch(c, some_histories(ctx.device()), some_impressions), 1e-11);
  }
}

TEST_P(HistoryPartsTest, InF32AndInBf16OnTensorCores) {
  for (const auto& name : models) {
    SCOPED_TRACE(name);
    const RankingModelConfig c = config_of(name, 64, 16);
    const Batch batch = make_batch(c, some_histories(ctx.device()), some_impressions);
    Context f32(ctx.device(), DType::f32);
    check(f32, c, batch, 1e-3);
    if (ctx.device() == Device{}) continue;
    Context rounded(ctx.device(), DType::bf16);
    check(rounded, c, batch, 0.15);
  }
}

TEST_P(HistoryPartsTest, NoRequestsAtAll) {
  const RankingModelConfig c = config_of("lime_xor", 6, 5);
  Context on(ctx.device(), DType::f64);
  check(on, c, make_batch(c, {}, {}), 0);
}

TEST_P(HistoryPartsTest, OtherModelsRefuseThem) {
  if (test_group().size() == 1) GTEST_SKIP() << "one rank has all parts";
  const RankingModelConfig c = config_of("hstu", 6, 5);
  const Batch batch = make_batch(c, {4, 2}, {1, 1});
  const auto comm = make_device_communicator(test_group().world(), ctx);
  const DeviceJagged whole(ctx, {0, 9, 12}), later(ctx, {0, 1, 2});
  EXPECT_THROW(step(ctx, c, batch, {comm.get(), whole, later}), Error);
}

}  // namespace
}  // namespace lime
