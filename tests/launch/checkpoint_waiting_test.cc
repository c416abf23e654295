// Ids that wait for a row (embeddings.admit_after), in checkpoints: on any number of ranks, into runs that go
// on and that begin.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "io/hdf5_file.h"
#include "model/checkpoint.h"
#include "model/checkpoint_tensors.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::Not;

// One dataset for all tests of this program.
class WaitingIdsInCheckpoints : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TempDirectory(TempDirectory::Shared::yes);
    dataset_ = new Dataset(shared_small_dataset(directory_->file("data")));
  }
  static void TearDownTestSuite() {
    delete dataset_;
    delete directory_;
  }
  static Config config(const Overrides& overrides = {}) {
    return small_config(directory_->file("data"), overrides);
  }

  static inline TempDirectory* directory_ = nullptr;
  static inline Dataset* dataset_ = nullptr;
};

// Ids that wait for a row, and after how many steps. Files of tables whose ids never wait are those of
// before.
TEST_F(WaitingIdsInCheckpoints, IdsThatWaitForARowGoOnWaiting) {
  TempDirectory run(TempDirectory::Shared::yes);
  Communicator& comm = test_group().world();
  const Overrides waits{{"embeddings.tables.user.admit_after", "3"}};
  SmallRun some(comm, config(waits), *dataset_), none(comm, config(), *dataset_);
  some.train(test_group(), *dataset_, 3);
  none.train(test_group(), *dataset_, 3);
  const auto save_of = [&](const SmallRun& of, const std::string& name) {
    return save_checkpoint(comm, run.file(name), of.config, of.network, of.adamw, of.state, 1);
  };
  const std::string saved = save_of(some, "some"), described = describe_checkpoint(saved);
  EXPECT_THAT(described,
              testing::ContainsRegex("/user rows [0-9]+ dim 4 state 9 [^\n]* waiting [1-9][0-9]* id "));
  EXPECT_THAT(described, Not(testing::ContainsRegex("/item rows [^\n]* waiting")));
  const CheckpointShapes shapes = checkpoint_shapes(saved);
  int64_t waiting = 0;
  for (const auto& table : shapes.tables) waiting += table.name == "user" ? table.waiting : 0;
  EXPECT_GT(waiting, 0);
  EXPECT_EQ(shapes.waiting_ids(), waiting);
  const std::string file = tables_file_name(comm.rank(), comm.size());
  {
    const Hdf5File tables(saved + "/" + file, Hdf5File::Mode::read);
    EXPECT_EQ(tables.list("/item"),
              (std::vector<std::string>{"bucket_offsets", "id", "idle", "state", "value"}));
    EXPECT_EQ(tables.list("/user/waiting"),
              (std::vector<std::string>{"bucket_offsets", "id", "idle", "steps"}));
  }
  // Into one process, and from there over all ranks.
  if (test_group().rank() == 0) {
    const auto alone = make_self_communicator();
    SmallRun one(*alone, some.config, *dataset_);
    const TrainState state = load(*alone, saved, one);
    save_checkpoint(*alone, run.file("alone"), one.config, one.network, one.adamw, state, 1);
    EXPECT_EQ(describe_checkpoint(run.file("alone/checkpoints/step-000000003")), described);
  }
  comm.barrier()->wait();
  SmallRun all(comm, some.config, *dataset_);
  all.state = load(comm, run.file("alone/checkpoints/step-000000003"), all);
  EXPECT_EQ(describe_checkpoint(save_of(all, "all")), described);

  const auto waiting_in = [&](const SmallRun& of) {
    int64_t ids = 0;
    const auto tables = static_cast<int64_t>(of.network.tables().tables().size());
    for (int64_t t = 0; t < tables; ++t) ids += of.network.tables().waiting(t);
    const auto of_ranks = all_gather_values(comm, std::span<const int64_t>(&ids, 1));
    return std::accumulate(of_ranks.begin(), of_ranks.end(), int64_t{0});
  };
  EXPECT_EQ(waiting_in(all), waiting);
  // Whoever only reads tables needs none of them; nor does a run in which nothing waits. It goes on from
  // either checkpoint, as the run with waiting ids does from one of before.
  SmallRun reader(comm, some.config, *dataset_), at_once(comm, config(), *dataset_),
      later(comm, some.config, *dataset_);
  load_checkpoint(comm, {comm, saved}, reader.config, reader.network, nullptr);
  EXPECT_EQ(waiting_in(reader), 0);
  load(comm, saved, at_once);
  EXPECT_EQ(waiting_in(at_once), 0);
  load(comm, save_of(none, "none"), later);
  EXPECT_EQ(waiting_in(later), 0);
}

// Waiting ids of another run are left behind where rows are: by the runs since one met them.
TEST_F(WaitingIdsInCheckpoints, IdsThatNoRunMetLatelyAreLeftBehind) {
  if (test_group().size() > 1) GTEST_SKIP() << "one rank has all of them";
  TempDirectory run(TempDirectory::Shared::yes);
  Communicator& comm = test_group().world();
  const auto network_of = [&](const char* keep_runs) {
    return std::make_unique<SmallRun>(comm,
                                      config({{"embeddings.tables.user.admit_after", "5"},
                                              {"embeddings.tables.user.keep_runs", keep_runs}}),
                                      *dataset_);
  };
  const auto table_of = [](SmallRun& of) {
    const auto& tables = of.network.tables().tables();
    return std::find_if(tables.begin(), tables.end(), [](const auto& t) { return t.name == "user"; }) -
           tables.begin();
  };
  const auto first = network_of("0");
  const std::map<int64_t, std::pair<int, int>> there{
      {1000, {4, 0}}, {1001, {1, 1}}, {1002, {2, 2}}, {1003, {3, 255}}};
  for (const auto& [id, counts] : there) {
    TableRows rows;
    rows.waiting = {{id}, {static_cast<uint8_t>(counts.first)}, {static_cast<uint8_t>(counts.second)}};
    first->network.tables().load_rows(table_of(*first), rows);
  }
  const std::string saved =
      save_checkpoint(comm, run.path(), first->config, first->network, first->adamw, first->state, 1);
  for (const int keep_runs : {0, 1, 2}) {
    const auto next = network_of(std::to_string(keep_runs).c_str());
    load_weights(comm, {comm, saved}, next->config, next->network);
    for (const auto& [id, counts] : there) {
      const WaitingIds found = next->network.tables().bucket_rows(table_of(*next), bucket_of(id)).waiting;
      const auto at = std::find(found.ids.begin(), found.ids.end(), id);
      ASSERT_EQ(at != found.ids.end(), keep_runs == 0 || counts.second < keep_runs) << id;
      if (at == found.ids.end()) continue;
      const auto i = static_cast<size_t>(at - found.ids.begin());
      EXPECT_EQ(found.steps[i], counts.first) << id;
      EXPECT_EQ(found.idle[i], std::min(counts.second + 1, 255)) << id;
    }
  }
}

}  // namespace
}  // namespace lime
