// Evaluation and prediction: the same for any number of ranks, every held-out row once, nothing that was
// trained on.
#include "launch/evaluator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "io/hdf5_file.h"
#include "launch/batch_source.h"
#include "launch/eval_report.h"
#include "launch/predict.h"
#include "launch/scores_file.h"
#include "launch/stop_signal.h"
#include "tests/launch/trained_small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr HistoryMode modes[] = {HistoryMode::running, HistoryMode::frozen, HistoryMode::none,
                                 HistoryMode::stranger};

class Evaluator : public TrainedSmallRun {
 protected:
  static EvalResult evaluate_together(HistoryMode mode) {
    return evaluate(scoring_of(*run_), held_out, mode);
  }
};

TEST_F(Evaluator, IsTheSameForAnyNumberOfRanks) {
  std::vector<EvalResult> together, alone;
  for (const auto mode : modes) together.push_back(evaluate_together(mode));
  if (test_group().rank() != 0) {
    EXPECT_TRUE(together[0].tasks.empty());
    return;
  }
  Alone one;
  for (const auto mode : modes) alone.push_back(evaluate(one.scoring, held_out, mode));
  EXPECT_EQ(to_json(together, "step-1"), to_json(alone, "step-1"));
  EXPECT_NE(to_json({together[0]}, "step-1"), to_json({together[2]}, "step-1"));
}

// Long histories must not make a batch of as many events as there are requests times events of one.
TEST_F(Evaluator, ABudgetOfHistoryEventsCutsBatchesAndChangesNoResult) {
  if (test_group().rank() != 0) return;
  std::vector<EvalResult> results;
  std::vector<int64_t> batches;
  for (const int64_t budget : {0, 40}) {
    Alone one;
    one.run.config.eval.batch_history_tokens = budget;
    batches.push_back(0);
    results.push_back(
        evaluate(one.scoring, held_out, HistoryMode::running, [&](int64_t, int64_t) { ++batches.back(); }));
  }
  EXPECT_EQ(to_json({results[0]}, "step-1"), to_json({results[1]}, "step-1"));
  EXPECT_GT(batches[1], 2 * batches[0]);
}

// One rank is told to stop; all give up at the same batch, and leave no file.
TEST_F(Evaluator, ASignalToOneRankStopsAll) {
  const StopSignal signal;
  Scoring scoring = scoring_of(*run_);
  scoring.signal = &signal;
  const std::string rows = directory_->file("stopped_rows.h5"), scores = directory_->file("stopped.h5");
  int64_t batches = 0;
  const auto stop_at_second = [&](int64_t, int64_t) {
    if (++batches == 1 && test_group().rank() == test_group().size() - 1) raise(SIGTERM);
  };
  Config& config = run_->config;
  const int64_t requests = std::exchange(config.eval.batch_requests, 4);
  const auto interrupted = [&](const auto& work) {
    try {
      work();
    } catch (const Interrupted& error) {
      EXPECT_STREQ(error.what(), "stopped by SIGTERM; nothing was written");
      return error.signal();
    }
    return 0;
  };
  EXPECT_EQ(interrupted([&] { evaluate_modes(scoring, held_out, rows, stop_at_second); }), SIGTERM);
  EXPECT_LE(batches, 2);  // the one that was under way is finished
  EXPECT_EQ(interrupted([&] { predict(scoring, held_out, HistoryMode::none, scores); }), SIGTERM);
  config.eval.batch_requests = requests;
  test_group().world().barrier()->wait();
  for (const auto& entry : fs::directory_iterator(directory_->path()))
    EXPECT_FALSE(entry.path().filename().string().starts_with("stopped")) << entry;
}

TEST_F(Evaluator, CountsEveryRowOnce) {
  int64_t done = 0, total = 0;
  const EvalResult result =
      evaluate(scoring_of(*run_), held_out, HistoryMode::running, [&](int64_t d, int64_t t) {
        EXPECT_GE(d, done);
        done = d;
        total = t;
      });
  int64_t requests = 0, candidates = 0;
  for (const auto& day : dataset_->days())
    if (day.day != "2024-01-01") requests += day.requests, candidates += day.candidates;
  EXPECT_EQ(done, requests);
  EXPECT_EQ(total, requests);
  if (test_group().rank() != 0) return;
  EXPECT_EQ(result.history, "running");
  EXPECT_EQ(result.requests, requests);
  EXPECT_GT(result.truncated, 0);
  ASSERT_EQ(result.tasks.size(), 2u);
  EXPECT_EQ(result.tasks[0].all.rows, candidates);
  EXPECT_LT(result.tasks[1].all.rows, candidates);  // its sample weight is 0 for some
  EXPECT_GT(result.tasks[1].all.rows, candidates / 2);
  for (const auto& task : result.tasks) {
    int64_t rows = 0, positives = 0;
    double loss = 0;
    ASSERT_EQ(task.days.size(), 2u);
    EXPECT_EQ(task.days[0].first, "2024-01-02");
    for (const auto& [day, metrics] : task.days) {
      rows += metrics.rows;
      positives += metrics.positives;
      loss += metrics.log_loss * static_cast<double>(metrics.rows);
    }
    EXPECT_EQ(rows, task.all.rows);
    EXPECT_EQ(positives, task.all.positives);
    EXPECT_NEAR(loss / static_cast<double>(rows), task.all.log_loss, 1e-12);
    EXPECT_TRUE(task.all.auc > 0 && task.all.auc < 1 && task.all.wt_auc > 0 && task.all.gauc > 0 &&
                task.all.ne > 0);
    EXPECT_GT(task.all.ranked_requests, 10);
    EXPECT_LT(task.all.ranked_requests, requests);
    EXPECT_TRUE(task.all.r_auc > 0 && task.all.r_auc < 1 && task.all.mrr > 0.25 && task.all.mrr < 1 &&
                task.all.ndcg > 0.4 && task.all.ndcg < 1);
  }
}

TEST_F(Evaluator, RowsKnowTheirRequests) {
  std::map<std::tuple<int64_t, int32_t, int64_t>, int> sizes;
  int64_t alone = 0;
  evaluate(scoring_of(*run_), held_out, HistoryMode::running, {},
           [&](const std::string& task, const std::vector<ScoredRow>& rows) {
             if (task != "click") return;
             for (const auto& row : rows)
               row.request < 0 ? ++alone : ++sizes[{row.user, row.day, row.request}];
           });
  if (test_group().rank() != 0) return;
  EXPECT_GT(alone, 10);
  EXPECT_GT(sizes.size(), 50u);
  for (const auto& [place, size] : sizes)
    EXPECT_TRUE(size >= 2 && size <= 4) << size;  // as the dataset has them
  int64_t candidates = alone;
  for (const auto& [place, size] : sizes) candidates += size;
  for (const auto& day : dataset_->days())
    if (day.day != "2024-01-01") candidates -= day.candidates;
  EXPECT_EQ(candidates, 0);
}

TEST_F(Evaluator, LeavesNoTraceInTheTables) {
  // A network that nothing was evaluated with yet: held-out ids that it has not seen get no rows.
  SmallRun fresh(test_group().world(), run_->config, *dataset_);
  load(test_group().world(), checkpoint_, fresh);
  const auto rows = [&] {
    std::vector<int64_t> counts;
    for (size_t t = 0; t < fresh.network.tables().tables().size(); ++t)
      counts.push_back(fresh.network.tables().rows(static_cast<int64_t>(t)));
    return counts;
  };
  const auto before = rows();
  evaluate(scoring_of(fresh), held_out, HistoryMode::running);
  EXPECT_EQ(rows(), before);
}

TEST_F(Evaluator, RefusesDaysThatWereTrainedOn) {
  const Config config = small_config(directory_->file("data"));  // trains on the first two days
  refuse_trained_days(config, *dataset_, {"2024-01-03"}, "--days");
  EXPECT_THAT(user_error([&] {
                refuse_trained_days(config, *dataset_, {"2024-01-02", "2024-01-03"}, "--days");
              }),
              testing::AllOf(testing::StartsWith("--days: held-out"), HasSubstr("2024-01-02"),
                             testing::Not(HasSubstr("2024-01-03")),
                             HasSubstr("data.train = 2024-01-01..2024-01-02")));
}

TEST_F(Evaluator, ABrokenDayIsOneErrorOnAllRanks) {
  TempDirectory copy(TempDirectory::Shared::yes);
  if (test_group().rank() == 0)
    fs::copy(directory_->file("data"), copy.file("data"), fs::copy_options::recursive);
  test_group().world().barrier()->wait();
  const Dataset broken = Dataset::open(copy.file("data"));
  test_group().world().barrier()->wait();
  if (test_group().rank() == 0) fs::resize_file(broken.day_path("2024-01-03", 3), 700);  // the last rank's
  test_group().world().barrier()->wait();
  EXPECT_THAT(user_error([&] {
                evaluate(scoring_of(*run_, test_group().world(), broken), held_out, HistoryMode::running);
              }),
              HasSubstr("2024-01-03/part-00003-of-00004.h5"));
}

std::vector<double> all_values(const Hdf5File& file, const std::string& object) {
  return file.read<double>(object);
}

TEST_F(Evaluator, PredictionIsTheSameForAnyNumberOfRanks) {
  TempDirectory out(TempDirectory::Shared::yes);
  predict(scoring_of(*run_), held_out, HistoryMode::running, out.file("all.h5"));
  if (test_group().rank() != 0) return;
  Alone one;
  predict(one.scoring, held_out, HistoryMode::running, out.file("alone.h5"));
  EXPECT_FALSE(fs::exists(out.file("all.h5.partial")));
  const Hdf5File all(out.file("all.h5"), Hdf5File::Mode::read),
      alone(out.file("alone.h5"), Hdf5File::Mode::read);
  for (const char* object :
       {"/request/day", "/request/user", "/request/time", "/request/part", "/request/row",
        "/candidate/offsets", "/candidate/item", "/score/click", "/score/like"})
    EXPECT_EQ(all_values(all, object), all_values(alone, object)) << object;

  // Every request of the days once, in order, with the items that the dataset has there.
  const auto day = all.read<int64_t>("/request/day"), part = all.read<int64_t>("/request/part"),
             row = all.read<int64_t>("/request/row"), offsets = all.read<int64_t>("/candidate/offsets"),
             item = all.read<int64_t>("/candidate/item");
  size_t r = 0;
  for (const auto& name : held_out)
    for (int64_t p = 0; p < dataset_->parts(); ++p) {
      const Hdf5File stored(dataset_->day_path(name, p), Hdf5File::Mode::read);
      const auto stored_offsets = stored.read<int64_t>("/candidate/offsets"),
                 stored_item = stored.read<int64_t>("/candidate/item");
      for (size_t i = 0; i + 1 < stored_offsets.size(); ++i, ++r) {
        ASSERT_LT(r, day.size());
        EXPECT_EQ(str(day[r]), std::string(name).replace(4, 1, "").replace(6, 1, ""));
        EXPECT_EQ(part[r], p);
        EXPECT_EQ(row[r], static_cast<int64_t>(i));
        ASSERT_EQ(offsets[r + 1] - offsets[r], stored_offsets[i + 1] - stored_offsets[i]);
        for (int64_t c = 0; c < offsets[r + 1] - offsets[r]; ++c)
          EXPECT_EQ(item[static_cast<size_t>(offsets[r] + c)],
                    stored_item[static_cast<size_t>(stored_offsets[i] + c)]);
      }
    }
  EXPECT_EQ(r, day.size());
  for (const double p : all_values(all, "/score/click")) EXPECT_TRUE(p > 0 && p < 1);
  EXPECT_EQ(all.attribute("/", "history"), "running");
}

TEST_F(Evaluator, APredictionThatLacksARequestIsRefused) {
  const auto comm = make_self_communicator();
  ReaderOptions options = reader_options(*comm, run_->config, held_out);
  options.requests = 2;
  options.shuffle = false;
  BatchReader reader(*dataset_, options);
  const TempDirectory temp;
  const std::string path = temp.file("scores.h5");
  std::optional<ScoresFile> file(std::in_place, path, *dataset_, run_->config, held_out, "running");
  ScoredRequests first, second;
  for (ScoredRequests* scored : {&first, &second}) {
    const MicroBatch micro = reader.next().micro.at(0);
    ASSERT_FALSE(micro.empty());
    const std::vector<float> probabilities(micro.labels.size(), 0.5f);
    scored->add(micro, ConstView(probabilities.data(), static_cast<int64_t>(micro.item.size()), 2));
  }
  file->add(ScoredRequests::unpack(first.packed()));
  EXPECT_THROW(file->add(first), Error);  // again
  EXPECT_THROW(file->finish(), Error);    // the others are missing
  EXPECT_FALSE(fs::exists(path));
  file.emplace(path, *dataset_, run_->config, held_out, "running");
  EXPECT_THROW(file->add(second), Error);  // before the first
  file.reset();
  EXPECT_TRUE(fs::is_empty(temp.path()));
}

TEST_F(Evaluator, APredictionThatCannotBeWrittenIsOneErrorOnAllRanks) {
  EXPECT_THAT(user_error([&] {
                predict(scoring_of(*run_), held_out, HistoryMode::running,
                        directory_->file("nowhere/scores.h5"));
              }),
              HasSubstr("nowhere/scores.h5"));
}

TEST(EvalReport, TableAndJson) {
  const double nan = std::nan("");
  Metrics day, all;
  day.rows = 1000, day.positives = 0;
  day.auc = day.gauc = day.wt_auc = day.ne = day.calibration = day.r_auc = day.mrr = day.ndcg = nan;
  day.log_loss = 0.25;
  all.rows = 56658, all.positives = 17321, all.gauc_users = 88;
  all.auc = 0.74421, all.gauc = 0.643, all.wt_auc = nan, all.ne = 0.8562, all.log_loss = 0.5,
  all.calibration = 1.0123, all.r_auc = all.mrr = all.ndcg = nan;
  const EvalResult result{"frozen", {{"is_click", {{"2022-05-05", day}}, all}}, 56658, 12, 3.21};
  EXPECT_EQ(to_table({result}),
            "history frozen: 56658 requests, 12 histories truncated, 3.2 s\n"
            "is_click       rows  positives     AUC    GAUC      NE  calibration\n"
            "  2022-05-05   1000          0       -       -       -            -\n"
            "  all         56658      17321  0.7442  0.6430  0.8562       1.0123\n");
  EvalResult lists = result;
  auto& whole = lists.tasks[0].all;
  whole.r_auc = 0.61, whole.mrr = 0.5, whole.ndcg = 0.75, whole.ranked_requests = 7, whole.wt_auc = 0.9;
  EXPECT_THAT(to_table({lists}),
              HasSubstr("AUC    GAUC   R-AUC     MRR  nDCG@10      NE  WT-AUC  calibration\n"));
  EXPECT_THAT(to_table({lists}),
              HasSubstr("0.7442  0.6430  0.6100  0.5000   0.7500  0.8562  0.9000       1.0123\n"));
  EXPECT_EQ(to_lines({result, lists}),
            "  is_click  AUC 0.7442  GAUC 0.6430  NE 0.8562  (history frozen)\n"
            "  is_click  AUC 0.7442  GAUC 0.6430  R-AUC 0.6100  MRR 0.5000  nDCG@10 0.7500  NE 0.8562  "
            "WT-AUC 0.9000"
            "  (history frozen)");
  const auto json = nlohmann::json::parse(to_json({result}, "step-1"));
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["history"], "frozen");
  const auto& task = json[0]["tasks"][0];
  EXPECT_EQ(task["all"]["auc"].get<double>(), 0.74421);
  EXPECT_EQ(task["all"]["gauc_users"], 88);
  EXPECT_EQ(task["all"]["ranked_requests"], 0);
  EXPECT_TRUE(task["all"]["ndcg"].is_null());
  EXPECT_TRUE(task["all"]["wt_auc"].is_null());
  EXPECT_TRUE(task["days"]["2022-05-05"]["ne"].is_null());
  EXPECT_EQ(task["days"]["2022-05-05"]["rows"], 1000);
}

TEST(EvalReport, HistoryModes) {
  EXPECT_THAT(history_modes("both"), ElementsAre(HistoryMode::running, HistoryMode::frozen));
  EXPECT_THAT(history_modes("stranger"), ElementsAre(HistoryMode::stranger));
  EXPECT_THROW(history_modes("sideways"), UserError);
}

}  // namespace
}  // namespace lime
