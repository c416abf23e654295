// Checkpoints: what is saved comes back to the bit on any number of ranks; what is broken is named and passed
// over.
#include "model/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>

#include "io/hdf5_file.h"
#include "model/checkpoint_manifest.h"
#include "model/checkpoint_tensors.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

void flip_byte(const std::string& path, size_t at) {
  std::string bytes = read_file(path);
  bytes.at(at) = static_cast<char>(bytes[at] ^ 0x10);
  write_file(path, bytes);
}

// One dataset and one trained run over all ranks for the tests of this file.
class Checkpoint : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TempDirectory(TempDirectory::Shared::yes);
    dataset_ = new Dataset(shared_small_dataset(directory_->file("data")));
    run_ = new SmallRun(test_group().world(), small_config(directory_->file("data")), *dataset_);
    run_->train(test_group(), *dataset_, 3);
    run_->state.order = {65536, {{"2024-01-01", 7}, {"2024-01-02", int64_t{1} << 62}}};
    run_->state.extra = {
        {"ne_sum", 0.1 + 0.2}, {"huge", std::numeric_limits<double>::max()}, {"minus_zero", -0.0}};
  }
  static void TearDownTestSuite() {
    delete run_;
    delete dataset_;
    delete directory_;
  }

  static Config config(const Overrides& overrides = {}) {
    return small_config(directory_->file("data"), overrides);
  }
  static std::string save(const std::string& run, int64_t step = 3, int64_t keep = 9) {
    TrainState state = run_->state;
    state.step = step;
    return save_checkpoint(test_group().world(), run, run_->config, run_->network, run_->adamw, state, keep);
  }
  static std::string load_error(const std::string& checkpoint, const Config& config) {
    return user_error([&] {
      SmallRun fresh(test_group().world(), config, *dataset_);
      load(test_group().world(), checkpoint, fresh);
    });
  }
  // Breaks something on rank 0 only.
  template <typename F>
  static void on_root(F&& f) {
    test_group().world().barrier()->wait();
    if (test_group().rank() == 0) f();
    test_group().world().barrier()->wait();
  }

  static TempDirectory* directory_;
  static Dataset* dataset_;
  static SmallRun* run_;
};
TempDirectory* Checkpoint::directory_ = nullptr;
Dataset* Checkpoint::dataset_ = nullptr;
SmallRun* Checkpoint::run_ = nullptr;

TEST_F(Checkpoint, ComesBackToTheBit) {
  TempDirectory run(TempDirectory::Shared::yes);
  const std::string saved = save(run.path());
  EXPECT_EQ(saved, run.file("checkpoints/step-000000003"));
  SmallRun fresh(test_group().world(), run_->config, *dataset_);
  const TrainState state = load(test_group().world(), saved, fresh);
  EXPECT_EQ(state.step, 3);
  EXPECT_EQ(state.epoch, run_->state.epoch);
  EXPECT_FALSE(state.finished);
  EXPECT_EQ(state.extra, run_->state.extra);
  EXPECT_TRUE(std::signbit(state.extra.at("minus_zero")));
  EXPECT_EQ(state.order, run_->state.order);
  ASSERT_EQ(state.positions.size(), 4u);
  for (const auto& mine : run_->state.positions)
    EXPECT_EQ(state.positions.at(static_cast<size_t>(mine.shard)), mine);

  const auto same = [](const ConstView& a, const ConstView& b) {
    return std::equal(a.data<float>(), a.data<float>() + a.size(), b.data<float>());
  };
  EXPECT_TRUE(same(fresh.network.parameters().values(), run_->network.parameters().values()));
  EXPECT_TRUE(same(fresh.adamw.first_moment(), run_->adamw.first_moment()));
  EXPECT_TRUE(same(fresh.adamw.second_moment(), run_->adamw.second_moment()));
  const EmbeddingCollection &there = run_->network.tables(), &here = fresh.network.tables();
  int64_t rows = 0;
  for (int64_t t = 0; t < static_cast<int64_t>(there.tables().size()); ++t) {
    EXPECT_EQ(here.rows(t), there.rows(t));
    rows += here.rows(t);
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows a = here.bucket_rows(t, bucket), b = there.bucket_rows(t, bucket);
      EXPECT_EQ(a.ids, b.ids);
      EXPECT_EQ(a.values, b.values);
      EXPECT_EQ(a.state, b.state);
    }
  }
  const auto of_ranks = all_gather_values(test_group().world(), std::span(&rows, 1));
  EXPECT_GT(std::accumulate(of_ranks.begin(), of_ranks.end(), int64_t{0}), 10);
}

TEST_F(Checkpoint, MovesBetweenNumbersOfRanks) {
  TempDirectory run(TempDirectory::Shared::yes);
  const std::string saved = save(run.path());
  const std::string described = describe_checkpoint(saved);
  // All ranks' files into one process, and from there into one file.
  if (test_group().rank() == 0) {
    const auto alone = make_self_communicator();
    SmallRun one(*alone, run_->config, *dataset_);
    const TrainState state = load(*alone, saved, one);
    const std::string again =
        save_checkpoint(*alone, run.file("alone"), one.config, one.network, one.adamw, state, 1);
    EXPECT_TRUE(fs::exists(again + "/tables-00000-of-00001.h5"));
    EXPECT_EQ(describe_checkpoint(again), described);
  }
  test_group().world().barrier()->wait();
  // And back over all ranks.
  SmallRun all(test_group().world(), run_->config, *dataset_);
  const TrainState state = load(test_group().world(), run.file("alone/checkpoints/step-000000003"), all);
  const std::string again =
      save_checkpoint(test_group().world(), run.file("all"), all.config, all.network, all.adamw, state, 1);
  EXPECT_EQ(describe_checkpoint(again), described);
}

TEST_F(Checkpoint, DigestsTellEveryChange) {
  TempDirectory run(TempDirectory::Shared::yes);
  const std::string before = describe_checkpoint(save(run.path()));
  EXPECT_THAT(before, HasSubstr("/parameters/"));
  EXPECT_THAT(before, HasSubstr("/adamw/second_moment/"));
  EXPECT_THAT(before, HasSubstr("\n/item rows "));
  float* value = run_->network.parameters().values().data<float>();
  const float kept = *value;
  *value = std::nextafter(kept, 2.0f);
  const std::string after = describe_checkpoint(save(run.path()));  // the same step again: replaced
  *value = kept;
  EXPECT_NE(after, before);
  EXPECT_EQ(describe_checkpoint(save(run.path())), before);
  EXPECT_THAT(list_checkpoints(run.path()), ElementsAre("step-000000003"));
}

TEST_F(Checkpoint, EvaluationNeedsNoOptimizer) {
  TempDirectory run(TempDirectory::Shared::yes);
  const std::string saved = save(run.path());
  SmallRun fresh(test_group().world(), config({{"train.micro_batches", "8"}}), *dataset_);
  load_checkpoint(test_group().world(), {test_group().world(), saved}, fresh.config, fresh.network, nullptr);
  EXPECT_EQ(fresh.network.parameters().values().data<float>()[0],
            run_->network.parameters().values().data<float>()[0]);
}

TEST_F(Checkpoint, RowsInBf16StayInBf16AndBecomeThoseOfAnotherRunInEitherType) {
  TempDirectory run(TempDirectory::Shared::yes);
  Communicator& comm = test_group().world();
  SmallRun half(comm, config({{"embeddings.tables.item.type", "bf16"}}), *dataset_);
  half.train(test_group(), *dataset_, 3);
  const std::string saved =
      save_checkpoint(comm, run.path(), half.config, half.network, half.adamw, half.state, 1);
  const std::string file = saved + "/" + tables_file_name(comm.rank(), comm.size());
  {
    const Hdf5File tables(file, Hdf5File::Mode::read);
    EXPECT_EQ(tables.type("/item/value"), H5Type::bf16);
    EXPECT_EQ(tables.type("/item/state"), H5Type::f32);
    EXPECT_EQ(tables.type("/user/value"), H5Type::f32);
  }
  EXPECT_THAT(describe_checkpoint(saved), HasSubstr("dim 6 bf16 state "));
  const auto rows_of = [&](const SmallRun& of, auto rounded) {
    std::vector<float> all;
    for (size_t t = 0; t < of.network.tables().tables().size(); ++t)
      for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket)
        for (const float x : of.network.tables().bucket_rows(static_cast<int64_t>(t), bucket).values)
          all.push_back(of.network.tables().tables()[t].name == "item" ? rounded(x) : x);
    return all;
  };
  const auto as_it_is = [](float x) { return x; };
  SmallRun fresh(comm, half.config, *dataset_);
  load(comm, saved, fresh);
  EXPECT_EQ(rows_of(fresh, as_it_is), rows_of(half, as_it_is));

  // Another run may begin with these rows in f32, exactly; and one in bf16 with rows of f32, to nearest.
  SmallRun exact(comm, config(), *dataset_), rounded(comm, half.config, *dataset_);
  load_weights(comm, {comm, saved}, exact.config, exact.network);
  EXPECT_EQ(rows_of(exact, as_it_is), rows_of(half, as_it_is));
  const std::string in_f32 = save(run.path(), 7);
  load_weights(comm, {comm, in_f32}, rounded.config, rounded.network);
  EXPECT_EQ(rows_of(rounded, as_it_is), rows_of(*run_, [](float x) { return to_float(to_bf16(x)); }));

  // The same run may not: it would go on to other bits.
  EXPECT_EQ(load_error(saved, config()),
            "checkpoint " + saved + " is of another model: table.item.type is bf16 there, f32 here");
  EXPECT_EQ(load_error(in_f32, half.config),
            "checkpoint " + in_f32 + " is of another model: table.item.type is f32 there, bf16 here");
  EXPECT_THAT(user_error([&] {
                SmallRun other(comm, config({{"embeddings.tables.item.dim", "8"}}), *dataset_);
                load_weights(comm, {comm, saved}, other.config, other.network);
              }),
              HasSubstr("table.item.dim is 6 there, 8 here"));
}

TEST_F(Checkpoint, OfAnotherModelOrRunIsRefused) {
  TempDirectory run(TempDirectory::Shared::yes);
  const std::string saved = save(run.path());
  EXPECT_EQ(load_error(saved, config({{"model.width", "16"}})),
            "checkpoint " + saved + " is of another model: model.width is 8 there, 16 here");
  EXPECT_THAT(load_error(saved, config({{"embeddings.tables.item.dim", "8"}})),
              HasSubstr("table.item.dim is 6 there, 8 here"));
  EXPECT_THAT(load_error(saved, config({{"seed", "5"}})), HasSubstr("seed is 1 there, 5 here"));
  EXPECT_THAT(load_error(saved, config({{"train.micro_batches", "8"}})),
              HasSubstr("train.micro_batches is 4 there, 8 here"));
}

TEST_F(Checkpoint, KeepsTheNewest) {
  TempDirectory run(TempDirectory::Shared::yes);
  for (const int64_t step : {10, 20, 30, 40}) save(run.path(), step, 2);
  test_group().world().barrier()->wait();  // removing old ones is rank 0's
  EXPECT_THAT(list_checkpoints(run.path()), ElementsAre("step-000000040", "step-000000030"));
  // After a resume from 30 (40 being broken, say) the one just written is not what goes.
  save(run.path(), 35, 1);
  test_group().world().barrier()->wait();
  EXPECT_THAT(list_checkpoints(run.path()), ElementsAre("step-000000040", "step-000000035"));
}

TEST_F(Checkpoint, PartialOnesAreIgnoredAndRemoved) {
  TempDirectory run(TempDirectory::Shared::yes);
  save(run.path(), 10);
  on_root([&] {
    fs::create_directories(run.file("checkpoints/step-000000020.partial"));
    write_file(run.file("checkpoints/step-000000020.partial/dense.h5"), "half");
    fs::create_directories(run.file("checkpoints/notes"));
  });
  EXPECT_THAT(list_checkpoints(run.path()), ElementsAre("step-000000010"));
  EXPECT_EQ(newest_good(test_group().world(), run.path()), run.file("checkpoints/step-000000010"));
  test_group().world().barrier()->wait();
  save(run.path(), 30);
  EXPECT_FALSE(fs::exists(run.file("checkpoints/step-000000020.partial")));
  EXPECT_TRUE(fs::exists(run.file("checkpoints/notes")));
}

TEST_F(Checkpoint, NoneIsNone) {
  TempDirectory run(TempDirectory::Shared::yes);
  EXPECT_TRUE(list_checkpoints(run.path()).empty());
  EXPECT_EQ(newest_good(test_group().world(), run.path()), "none");
}

struct Damage {
  const char* name;
  const char* file;
  void (*apply)(const std::string& path);
  const char* says;
};

class BrokenCheckpoint : public Checkpoint, public testing::WithParamInterface<Damage> {};

TEST_P(BrokenCheckpoint, IsNamedAndPassedOver) {
  TempDirectory run(TempDirectory::Shared::yes);
  const std::string good = save(run.path(), 10), broken = save(run.path(), 20);
  std::string file = GetParam().file;
  if (file == "tables") file = tables_file_name(0, test_group().size());
  const std::string path = broken + "/" + file;
  on_root([&] { GetParam().apply(path); });
  const std::string error = load_error(broken, run_->config);
  EXPECT_THAT(error, HasSubstr(path));
  EXPECT_THAT(error, HasSubstr(GetParam().says));
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_EQ(newest_good(test_group().world(), run.path()), good);
}

void truncate_file(const std::string& path) { fs::resize_file(path, fs::file_size(path) - 100); }
void flip_middle(const std::string& path) { flip_byte(path, fs::file_size(path) / 2); }
void remove_file(const std::string& path) { fs::remove(path); }
void overwrite(const std::string& path) { write_file(path, "{\"format\": \"lime-"); }
void other_json(const std::string& path) { write_file(path, "[1, 2]"); }
void change_step(const std::string& path) {
  std::string text = read_file(path);
  text.replace(text.find("\"step\": 20"), 10, "\"step\": 70");
  write_file(path, text);
}

INSTANTIATE_TEST_SUITE_P(
    Damages, BrokenCheckpoint,
    testing::Values(Damage{"truncated_tables", "tables", truncate_file, "truncated"},
                    Damage{"flipped_tables", "tables", flip_middle, "checksum"},
                    Damage{"missing_tables", "tables", remove_file, "No such file"},
                    Damage{"truncated_dense", "dense.h5", truncate_file, "truncated"},
                    Damage{"flipped_dense", "dense.h5", flip_middle, "checksum"},
                    Damage{"missing_dense", "dense.h5", remove_file, "No such file"},
                    Damage{"missing_manifest", "manifest.json", remove_file, "No such file"},
                    Damage{"garbage_manifest", "manifest.json", overwrite, "is not JSON"},
                    Damage{"other_manifest", "manifest.json", other_json, "is not the manifest"},
                    Damage{"truncated_manifest", "manifest.json", truncate_file, "is not JSON"},
                    Damage{"altered_manifest", "manifest.json", change_step, "own checksum"}),
    [](const auto& test) { return test.param.name; });

TEST_F(Checkpoint, OfAnotherVersionIsRefusedNotPassedOver) {
  TempDirectory run(TempDirectory::Shared::yes);
  save(run.path(), 10);
  const std::string newer = save(run.path(), 20);
  on_root([&] {
    std::string text = read_file(newer + "/manifest.json");
    text.replace(text.find("\"version\": 1"), 12, "\"version\": 9");
    write_file(newer + "/manifest.json", text);
  });
  const std::string says = "manifest.json: checkpoint format version 9, this program reads version 1";
  EXPECT_THAT(load_error(newer, run_->config), HasSubstr(says));
  EXPECT_THAT(user_error([&] { newest_good_checkpoint(test_group().world(), run.path()); }), HasSubstr(says));
}

TEST_F(Checkpoint, AnotherCopyOnSomeRankIsRefusedNotPassedOver) {
  if (test_group().size() == 1) GTEST_SKIP() << "of several ranks";
  TempDirectory run(TempDirectory::Shared::yes), copy(TempDirectory::Shared::yes);
  save(run.path(), 10);
  on_root([&] {
    fs::copy(run.path(), copy.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    const std::string manifest = copy.file("checkpoints/step-000000010/manifest.json");
    write_file(manifest, read_file(manifest) + "\n");
  });
  const std::string mine = test_group().rank() == 0 ? run.path() : copy.path();
  try {
    newest_good_checkpoint(test_group().world(), mine);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("manifest.json: rank 1 finds another file than rank 0"));
  }
}

TEST_F(Checkpoint, FailureOnOneRankIsThrownOnAll) {
  TempDirectory run(TempDirectory::Shared::yes);
  const std::string good = save(run.path(), 10);
  on_root([&] { write_file(run.file("file"), "not a directory"); });
  const std::string error = user_error([&] { save(run.file("file"), 20); });
  EXPECT_THAT(error, HasSubstr("cannot write checkpoint " + run.file("file/checkpoints/step-000000020")));
  EXPECT_THAT(error, HasSubstr("Not a directory"));

  // Only the last rank cannot write: it is told of a directory that rank 0 does not make.
  if (test_group().size() == 1) return;
  const bool last = test_group().rank() == test_group().size() - 1;
  const std::string one_rank = user_error([&] { save(last ? run.file("nowhere") : run.path(), 20); });
  EXPECT_THAT(one_rank, HasSubstr("nowhere/checkpoints/step-000000020.partial/tables-000"));
  test_group().world().barrier()->wait();  // removing the partial one is rank 0's
  EXPECT_FALSE(fs::exists(run.file("checkpoints/step-000000020")));
  EXPECT_FALSE(fs::exists(run.file("checkpoints/step-000000020.partial")));
  EXPECT_EQ(newest_good(test_group().world(), run.path()), good);
}

}  // namespace
}  // namespace lime
