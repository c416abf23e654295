// Tables that begin anew at each epoch (embeddings.reset_each_epoch): what goes, what goes on, and that
// neither ranks nor stops show.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "io/hdf5_file.h"
#include "tests/launch/train_runs.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

// Two epochs in which all tables but that of `segment` begin anew.
constexpr const char* two_epochs =
    "train.batch_requests=64 --set train.epochs=2 --set embeddings.reset_each_epoch=true "
    "--set embeddings.tables.segment.reset_each_epoch=false";

class ResetTables : public Train {
 protected:
  // The last step of the first epoch and of the run.
  static std::pair<int, int> ends(const std::string& run) {
    std::pair<int, int> ends;
    for (const auto& line : metrics(run)) {
      if (line.at("kind") != "train") continue;
      const int step = line.at("step").get<int>();
      (line.at("epoch") == 0 ? ends.first : ends.second) = step;
    }
    return ends;
  }
  static std::string until(int step) { return str(two_epochs, " --set train.max_steps=", step); }
  // Rows of a table in a checkpoint of one rank.
  static std::map<int64_t, std::vector<float>> rows(const std::string& run, int step,
                                                    const std::string& table, const char* column) {
    const Hdf5File file(checkpoint(run, step) + "/tables-00000-of-00001.h5", Hdf5File::Mode::read);
    const auto ids = file.read<int64_t>("/" + table + "/id");
    const auto values = file.read<float>(str("/", table, "/", column));
    std::map<int64_t, std::vector<float>> by_id;
    const size_t width = ids.empty() ? 0 : values.size() / ids.size();
    for (size_t i = 0; i < ids.size(); ++i)
      by_id[ids[i]].assign(values.begin() + static_cast<std::ptrdiff_t>(i * width),
                           values.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
    return by_id;
  }
};

TEST_F(ResetTables, TheSameBitsOnAnyRanksAndOverStopsAnywhere) {
  train(1, "whole", two_epochs);
  const auto [first_end, end] = ends("whole");
  ASSERT_GT(first_end, 3);
  ASSERT_EQ(end, 2 * first_end);
  const std::string expected = digests("whole", end);
  for (const int ranks : {2, 4}) {
    const std::string run = str("whole", ranks);
    train(ranks, run, two_epochs);
    EXPECT_EQ(digests(run, end), expected) << ranks;
  }
  // In the first epoch, between the two, at the first step of the second, in its middle.
  for (const int stop : {2, first_end, first_end + 1, first_end + 3}) {
    const std::string run = str("stopped", stop);
    train(stop % 2 + 1, run, until(stop));
    resume(4, run, "train.max_steps=0");
    EXPECT_EQ(digests(run, end), expected) << "stopped at step " << stop;
  }
  // A run that was complete after one epoch, and is given another.
  train(2, "more", str(two_epochs, " --set train.epochs=1"));
  resume(1, "more", "train.epochs=2");
  EXPECT_EQ(digests("more", end), expected);
  train(1, "kept", "train.batch_requests=64 --set train.epochs=2");
  EXPECT_NE(digests("kept", end), expected);
}

TEST_F(ResetTables, RowsAreThoseOfTheEpochAndTheDenseNetworkGoesOn) {
  train(1, "of_end", two_epochs);
  const auto [first_end, end] = ends("of_end");
  train(1, "one_epoch", until(first_end));
  train(1, "one_more", until(first_end + 1));
  // After the first step of the second epoch Adagrad's sums are of one update: some are smaller than they
  // were.
  for (const std::string table : {"user", "item"}) {
    const auto before = rows("one_epoch", first_end, table, "state"),
               after = rows("one_more", first_end + 1, table, "state");
    EXPECT_GT(before.size(), 40u) << table;
    EXPECT_GT(after.size(), 0u) << table;
    size_t smaller = 0;
    for (const auto& [id, state] : after) smaller += before.contains(id) && state.at(0) < before.at(id).at(0);
    EXPECT_GT(smaller, 0u) << table;
  }
  // Users of other steps have no row yet; at the epoch's end all have.
  EXPECT_LT(rows("one_more", first_end + 1, "user", "value").size(),
            rows("one_epoch", first_end, "user", "value").size());
  const auto users = [](const std::string& run, int step) {
    std::set<int64_t> ids;
    for (const auto& [id, row] : rows(run, step, "user", "value")) ids.insert(id);
    return ids;
  };
  EXPECT_EQ(users("of_end", end), users("one_epoch", first_end));
  // A table that is not reset counts on: adam's number of updates is the last of its state.
  const auto before = rows("one_epoch", first_end, "segment", "state");
  for (const auto& [id, state] : rows("one_more", first_end + 1, "segment", "state")) {
    const auto was = before.find(id);
    ASSERT_NE(was, before.end()) << id;
    EXPECT_GE(state.back(), was->second.back());
    EXPECT_GT(state.back(), 1) << id;
  }
  const Hdf5File a(checkpoint("one_epoch", first_end) + "/dense.h5", Hdf5File::Mode::read),
      b(checkpoint("one_more", first_end + 1) + "/dense.h5", Hdf5File::Mode::read);
  for (const auto& name : a.list("/parameters")) {
    const auto x = a.read<float>("/parameters/" + name), y = b.read<float>("/parameters/" + name);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 0.01) << name;  // one step of AdamW
  }
}

// Held-out days evaluated between two epochs, and a checkpoint there, have the rows of the first.
TEST_F(ResetTables, RowsStayUntilTheNextEpochsFirstStep) {
  const std::string eval = " --set data.eval=2024-01-03";
  train(1, "to_its_end", two_epochs + eval);
  const int first_end = ends("to_its_end").first;
  train(1, "between", two_epochs + eval + str(" --set train.eval_every=", first_end));
  train(1, "first_alone", two_epochs + eval + " --set train.epochs=1");
  const auto stopped = nlohmann::json::parse(read_file(path("first_alone/eval.json")));
  bool found = false;
  for (const auto& line : metrics("between")) {
    if (line["kind"] != "eval" || line["day"] != "all" || line["step"] != first_end) continue;
    EXPECT_EQ(line["auc"], stopped[0]["tasks"][0]["all"]["auc"]);
    found = true;
  }
  EXPECT_TRUE(found);
}

TEST_F(ResetTables, OnADeviceTheSameBitsOnAnyRanksAndTheCpusValues) {
  if (const auto missing = skip_reason({DeviceType::cuda, 0}); !missing.empty()) GTEST_SKIP() << missing;
  const std::string small =
                        str(two_epochs, " --set model.name=two_tower --set train.batch_requests=128 --set "),
                    on_device = small + "device=cuda:0 --set ";
  train(1, "cpu", small + "train.max_steps=0");
  const auto [first_end, end] = ends("cpu");
  train(1, "device", on_device + "train.max_steps=0");
  train(2, "device2", on_device + "train.max_steps=0");
  EXPECT_EQ(digests("device", end), digests("device2", end));
  train(2, "device_halves", on_device + str("train.max_steps=", first_end + 1));
  resume(1, "device_halves", "train.max_steps=0");
  EXPECT_EQ(digests("device", end), digests("device_halves", end));
  EXPECT_LT(relative_difference("cpu", "device", end), 1e-4);
  for (const std::string table : {"item", "user", "segment"})
    EXPECT_LT(table_difference("cpu", "device", end, table), 1e-4) << table;
}

TEST_F(ResetTables, WithFirstWeightsASecondEpochIsRefused) {
  train(1, "weights", "train.max_steps=1");
  const std::string next = str("train ", path("config.yaml"), " --from ", path("weights"), " --out ",
                               path("next"), " --set data.train=2024-01-03 --set ");
  expect_mistake(next + two_epochs, "train.epochs: found 2, expected 1 with train.from");
  EXPECT_FALSE(std::filesystem::exists(path("next")));
  const Outcome outcome = lime_program(next + two_epochs + " --set train.epochs=1 --set train.max_steps=1");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

}  // namespace
}  // namespace lime
