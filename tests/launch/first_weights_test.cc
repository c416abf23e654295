// Runs that begin with another run's weights (train.from), and evaluation while a run goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "io/hdf5_file.h"
#include "tests/launch/program.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* config_text = R"(
model: {name: lime_xor, width: 16, heads: 2, links: 4, blocks: 1, head_hidden: 8, max_positions: 16}
tasks: [click]
train: {batch_requests: 16, micro_batches: 4, max_steps: 4, log_every: 1}
)";

// A log of four days and a run over the first two, for all tests of this program.
class FirstWeights : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    generate_log(path("data"), {.days = 4});
    write_file(path("config.yaml"),
               str("data: {path: ", path("data"), ", train: 2024-01-01..2024-01-02, max_history: 20}\n",
                   small_log_features, config_text));
    run(1, "train " + path("config.yaml") + " --out " + path("first"));
  }
  static void TearDownTestSuite() {
    delete temp_;
    temp_ = nullptr;
  }
  static std::string path(const std::string& name) { return temp_->file(name); }
  static Outcome run(int ranks, const std::string& command) {
    Outcome outcome = ranks == 1 ? lime_program(command) : lime_program_on(ranks, command);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome;
  }
  static std::string next(const std::string& name, const std::string& settings,
                          const std::string& from = "first") {
    return str("train ", path("config.yaml"), " --from ", path(from), " --out ", path(name),
               " --set data.train=2024-01-03 ", settings);
  }
  static std::string checkpoint(const std::string& name, int step) {
    return str(path(name), "/checkpoints/step-00000000", step);
  }
  static std::string digests(const std::string& name, int step) {
    return checkpoint_digests(checkpoint(name, step));
  }
  static std::vector<float> values(const std::string& file, const std::string& object) {
    return Hdf5File(file, Hdf5File::Mode::read).read<float>(object);
  }

 private:
  static inline TempDirectory* temp_ = nullptr;
};

class FirstWeightsOn : public FirstWeights, public testing::WithParamInterface<Device> {};
INSTANTIATE_TEST_SUITE_P(Devices, FirstWeightsOn, testing::ValuesIn(test_devices()), device_name);

TEST_P(FirstWeightsOn, AreThoseOfTheOtherRunAndSoAreItsRows) {
  const std::string reason = skip_reason(GetParam());
  if (!reason.empty()) GTEST_SKIP() << reason;
  // With rates of 0 a step changes no weight; another seed draws rows that the first run never saw, and no
  // others.
  const std::string still =
      "--set seed=7 --set train.max_steps=1 --set train.learning_rate=0 --set embeddings.learning_rate=0 "
      "--set embeddings.tables.segment.learning_rate=0 --set train.adamw.weight_decay=0";
  const std::string name = GetParam() == Device{} ? "still" : "still_cuda";
  const Outcome outcome =
      run(1, next(name, str(still, " --set device=", GetParam() == Device{} ? "cpu" : "cuda")));
  EXPECT_THAT(outcome.err, HasSubstr(str("first weights: ", checkpoint("first", 4),
                                         ", trained on 2024-01-01..2024-01-02")));
  const std::string was = checkpoint("first", 4), is = checkpoint(name, 1);
  const Hdf5File dense(was + "/dense.h5", Hdf5File::Mode::read);
  const auto names = dense.list("/parameters");
  ASSERT_GT(names.size(), 10u);
  for (const auto& parameter : names)
    EXPECT_EQ(values(was + "/dense.h5", "/parameters/" + parameter),
              values(is + "/dense.h5", "/parameters/" + parameter))
        << parameter;

  const std::string tables = "/tables-00000-of-00001.h5";
  const Hdf5File before(was + tables, Hdf5File::Mode::read), after(is + tables, Hdf5File::Mode::read);
  const auto ids = before.read<int64_t>("/item/id"), ids_after = after.read<int64_t>("/item/id");
  const auto rows = before.read<float>("/item/value"), rows_after = after.read<float>("/item/value"),
             state = before.read<float>("/item/state"), state_after = after.read<float>("/item/state");
  size_t kept = 0, larger = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto found = std::find(ids_after.begin(), ids_after.end(), ids[i]);
    ASSERT_NE(found, ids_after.end()) << ids[i];
    const auto j = static_cast<size_t>(found - ids_after.begin());
    for (size_t d = 0; d < 8; ++d) {
      ASSERT_EQ(rows[8 * i + d], rows_after[8 * j + d]) << ids[i];
      ASSERT_GE(state_after[8 * j + d], state[8 * i + d]) << "Adagrad's sum goes on, of id " << ids[i];
      kept += state_after[8 * j + d] == state[8 * i + d] && state[8 * i + d] > 0;
      larger += state_after[8 * j + d] > state[8 * i + d];
    }
  }
  EXPECT_GT(kept, 0u);
  EXPECT_GT(larger, 0u);
}

// A column of the user table of a checkpoint of one rank, by id.
template <typename T>
std::map<int64_t, std::vector<T>> user_rows(const std::string& checkpoint, const char* column) {
  const Hdf5File file(checkpoint + "/tables-00000-of-00001.h5", Hdf5File::Mode::read);
  const auto ids = file.read<int64_t>("/user/id");
  const auto values = file.read<T>(str("/user/", column));
  const size_t width = ids.empty() ? 0 : values.size() / ids.size();
  EXPECT_EQ(values.size(), ids.size() * width);
  std::map<int64_t, std::vector<T>> rows;
  for (size_t i = 0; i < ids.size(); ++i)
    for (size_t c = 0; c < width; ++c) rows[ids[i]].push_back(values[i * width + c]);
  return rows;
}
std::map<int64_t, int> idle_runs(const std::string& checkpoint) {
  std::map<int64_t, int> idle;
  for (const auto& [id, row] : user_rows<uint8_t>(checkpoint, "idle")) idle[id] = row.at(0);
  return idle;
}

TEST_P(FirstWeightsOn, RowsThatNoRunUpdatedLatelyAreLeftBehind) {
  const std::string reason = skip_reason(GetParam());
  if (!reason.empty()) GTEST_SKIP() << reason;
  // The first run's rows are f32; those of the others are bf16.
  const std::string device = GetParam() == Device{} ? "cpu" : "cuda",
                    one_step =
                        "--set train.max_steps=1 --set embeddings.tables.user.type=bf16 --set device=" +
                        device;
  const auto of = [&](const char* name) { return str(name, "_", device); };
  const auto train_next = [&](const std::string& name, const std::string& from, const char* more) {
    run(1, next(name, str(one_step, more), from));
    return idle_runs(checkpoint(name, 1));
  };
  const auto first = idle_runs(checkpoint("first", 4));
  for (const auto& [id, idle] : first) EXPECT_EQ(idle, 0) << id;

  const auto second = train_next(of("second"), "first", "");
  size_t updated = 0;
  for (const auto& [id, idle] : second) {
    EXPECT_EQ(idle, idle == 0 ? 0 : 1) << id;
    EXPECT_TRUE(idle == 0 || first.count(id)) << id;
    updated += idle == 0;
  }
  for (const auto& [id, idle] : first) EXPECT_TRUE(second.count(id)) << id;
  ASSERT_GT(updated, 0u);
  ASSERT_LT(updated, second.size());

  // Another seed: other requests. With a rate of 0, what is kept is as it was.
  const auto latest =
      train_next(of("latest"), of("second"),
                 " --set seed=2 --set embeddings.keep_runs=1 --set embeddings.learning_rate=0");
  const auto both = train_next(of("both"), of("second"), " --set seed=2 --set embeddings.keep_runs=2");
  size_t left = 0;
  for (const auto& [id, idle] : second) {
    ASSERT_TRUE(both.count(id)) << id;
    const bool kept = latest.count(id) > 0, updated_again = both.at(id) == 0;
    EXPECT_EQ(kept, idle == 0 || updated_again) << id;
    EXPECT_EQ(both.at(id), updated_again ? 0 : idle + 1) << id;
    left += !kept;
  }
  EXPECT_GT(left, 0u);
  for (const char* column : {"value", "state"}) {
    const auto was = user_rows<float>(checkpoint(of("second"), 1), column);
    for (const auto& [id, row] : user_rows<float>(checkpoint(of("latest"), 1), column)) {
      const bool untouched =
          latest.at(id) > 0 || (second.count(id) && second.at(id) == 0 && column[0] == 'v');
      if (untouched) {
        EXPECT_EQ(row, was.at(id)) << column << " of " << id;
      }
    }
  }

  // Going on with a run makes no row older.
  run(1, str("train --resume ", path(of("both")), " --set train.max_steps=2"));
  for (const auto& [id, idle] : idle_runs(checkpoint(of("both"), 2)))
    EXPECT_TRUE(idle == 0 || idle == both.at(id)) << id;
}

TEST_F(FirstWeights, TheSameBitsOnAnyRanksAndAfterAKillBeforeTheFirstCheckpoint) {
  run(1, next("one", ""));
  run(4, next("four", ""));
  EXPECT_EQ(digests("one", 4), digests("four", 4));
  // A run that was lost before its first checkpoint begins with the same weights again.
  fs::copy(path("four"), path("lost"), fs::copy_options::recursive);
  fs::remove_all(path("lost/checkpoints"));
  run(2, "train --resume " + path("lost"));
  EXPECT_EQ(digests("one", 4), digests("lost", 4));
  // Without them, others.
  run(1, str("train ", path("config.yaml"), " --out ", path("random"), " --set data.train=2024-01-03"));
  EXPECT_NE(digests("one", 4), digests("random", 4));
}

// As launch/slurm_train.sbatch repeats its settings beside --resume.
TEST_F(FirstWeights, TheSameSettingsAgainGoOn) {
  run(1, next("at_once", ""));
  run(1, next("again", "--set train.max_steps=2"));
  const std::string resume =
      str("train --resume ", path("again"), " --set data.train=2024-01-03 --set train.");
  run(1, str(resume, "max_steps=3 --set train.from=", path("first")));
  run(1, str(resume, "max_steps=4 --set train.from=", checkpoint("first", 4), " --set data.seen=2024-01-02"));
  EXPECT_EQ(digests("again", 4), digests("at_once", 4));
  EXPECT_EQ(read_file(path("again/config.yaml")), read_file(path("at_once/config.yaml")));
  expect_mistake(str(resume, "from=", path("at_once")), "with whose weights the run began");
}

TEST_F(FirstWeights, DaysThatTheyHaveSeenAreNotHeldOut) {
  run(1, next("second", "--set train.max_steps=1"));
  run(1, str("train ", path("config.yaml"), " --from ", checkpoint("second", 1), " --out ", path("third"),
             " --set data.train=2024-01-04 --set train.max_steps=1"));
  EXPECT_THAT(read_file(path("third/config.yaml")),
              AllOf(HasSubstr("2024-01-01..2024-01-03"), HasSubstr(checkpoint("second", 1))));
  EXPECT_THAT(run(1, "inspect " + path("third")).out,
              HasSubstr("second/checkpoints/step-000000001, trained on 2024-01-01..2024-01-03"));
  for (const char* day : {"2024-01-01", "2024-01-03", "2024-01-04"})
    expect_mistake(str("eval ", path("third"), " --days ", day), day);
  run(1, str("eval ", path("second"), " --days 2024-01-04"));
}

TEST_F(FirstWeights, Mistakes) {
  expect_mistake(next("x", "", "data"), "neither a run directory nor a checkpoint");
  expect_mistake(next("x", "--set model.width=32"), "model.width");
  expect_mistake(next("x", "--set data.eval=2024-01-02"), "data.seen");
  expect_mistake(next("x", "--set train.eval_every=2"), "train.eval_every");
  EXPECT_FALSE(fs::exists(path("x")));
  expect_mistake(str("train --resume ", path("first"), " --from ", path("first")), "--from");
  // What a checkpoint's position and held-out days mean cannot change under it.
  expect_mistake(
      str("train --resume ", path("first"), " --set train.max_steps=6 --set data.train=2024-01-03"),
      "data.train");
  expect_mistake(str("train --resume ", path("first"), " --set train.max_steps=6 --set data.shuffle=false"),
                 "not shuffled");
  fs::copy(path("first"), path("goes_on"), fs::copy_options::recursive);
  run(1, str("train --resume ", path("goes_on"), " --set train.max_steps=6"));
}

TEST_F(FirstWeights, EvaluationOnTheWayChangesNoBit) {
  const std::string eval = " --set data.eval=2024-01-03 --set train.max_steps=5";
  const std::string command = "train " + path("config.yaml") + " --out ";
  run(2, command + path("plain") + eval);
  const Outcome outcome = run(2, command + path("often") + eval + " --set train.eval_every=2");
  EXPECT_EQ(digests("plain", 5), digests("often", 5));
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("held-out days at step 2:"), HasSubstr("held-out days at step 4:"),
                                 Not(HasSubstr("held-out days at step 5:"))));
  std::map<int64_t, double> auc;
  std::ifstream file(path("often/metrics.jsonl"));
  for (std::string text; std::getline(file, text);) {
    const auto line = nlohmann::json::parse(text);
    if (line["kind"] == "eval" && line["day"] == "all")
      auc[line["step"].get<int64_t>()] = line["auc"].get<double>();
  }
  ASSERT_EQ(auc.size(), 3u);
  EXPECT_NE(auc.at(2), auc.at(5));
  // What was told on the way is what a run that stops there is worth.
  run(1, command + path("short") + " --set data.eval=2024-01-03 --set train.max_steps=2");
  const auto stopped = nlohmann::json::parse(read_file(path("short/eval.json")));
  EXPECT_EQ(stopped[0]["tasks"][0]["all"]["auc"].get<double>(), auc.at(2));
}

}  // namespace
}  // namespace lime
