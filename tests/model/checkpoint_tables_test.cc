// The tables file of a checkpoint whose numbers do not fit one another: it was written so, and has checksums
// that fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/checkpoint_tensors.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CheckpointTables : public testing::Test {
 protected:
  CheckpointTables() {
    config_.name = "item", config_.dim = 2, config_.admit_after = 3;
    EmbeddingCollection tables(ctx_, *alone_, {config_}, 1);
    TableRows rows;
    for (int64_t id = 0; id < 5; ++id) rows.ids.push_back(id);
    rows.values.assign(10, 0.5F);
    rows.state.assign(5 * static_cast<size_t>(tables.state_width(0)), 1.0F);
    rows.waiting = {{50, 51}, {1, 2}, {0, 0}};
    tables.load_rows(0, rows);
    write_tables(whole_, tables);
  }

  // What reading says of the file with another column in the place of one.
  template <typename T>
  std::string with(const std::string& column, const std::vector<T>& values, int64_t cols = 0) {
    const std::string path = directory_.file("changed.h5");
    {
      const Hdf5File from(whole_, Hdf5File::Mode::read);
      Hdf5File to(path, Hdf5File::Mode::create);
      for (const std::string name : {"bucket_offsets", "id", "waiting/bucket_offsets", "waiting/id"})
        if (name != column) to.write<int64_t>("/item/" + name, from.read<int64_t>("/item/" + name));
      for (const std::string name : {"idle", "waiting/steps", "waiting/idle"})
        if (name != column) to.write<uint8_t>("/item/" + name, from.read<uint8_t>("/item/" + name));
      for (const std::string name : {"value", "state"})
        if (name != column)
          to.write<float>("/item/" + name, from.read<float>("/item/" + name), from.shape("/item/" + name)[1]);
      to.write<T>("/item/" + column, values, cols);
      to.close();
    }
    return user_error([&] {
      EmbeddingCollection tables(ctx_, *alone_, {config_}, 1);
      read_tables(path, tables, 0, 1, TableUse::go_on);
    });
  }
  template <typename T>
  std::vector<T> column(const std::string& name) const {
    return Hdf5File(whole_, Hdf5File::Mode::read).read<T>("/item/" + name);
  }

  TempDirectory directory_;
  std::string whole_ = directory_.file("whole.h5");
  Context ctx_;
  std::unique_ptr<Communicator> alone_ = make_self_communicator();
  TableConfig config_;
};

TEST_F(CheckpointTables, AsTheyWereWrittenAreRead) {
  EXPECT_EQ(with<int64_t>("id", column<int64_t>("id")), "no UserError was thrown");
}

TEST_F(CheckpointTables, OffsetsAscendFromZero) {
  for (const char* name : {"bucket_offsets", "waiting/bucket_offsets"}) {
    for (const auto& [at, value] : {std::pair<size_t, int64_t>{0, 1}, {512, int64_t{1} << 60}, {7, -1}}) {
      auto offsets = column<int64_t>(name);
      offsets[at] = value;
      EXPECT_THAT(with<int64_t>(name, offsets),
                  AllOf(HasSubstr("changed.h5: /item/"), HasSubstr(": expected ascending offsets from 0")));
    }
    EXPECT_THAT(with<int64_t>(name, {0, 5}), HasSubstr("bucket_offsets: shape 2, expected 1025"));
  }
}

TEST_F(CheckpointTables, ColumnsHaveTheRowsThatOffsetsSay) {
  EXPECT_THAT(with<int64_t>("id", {0, 1}), HasSubstr("/item/id: shape 2, expected 5"));
  EXPECT_THAT(with<float>("value", std::vector<float>(5), 1),
              HasSubstr("/item/value: shape 5 x 1, expected 5 x 2"));
  EXPECT_THAT(with<float>("value", std::vector<float>(10)),
              HasSubstr("/item/value: shape 10, expected 5 x 2"));
  EXPECT_THAT(with<uint8_t>("idle", {0}), HasSubstr("/item/idle: shape 1, expected 5"));
  EXPECT_THAT(with<uint8_t>("waiting/steps", {1}), HasSubstr("/item/waiting/steps: shape 1, expected 2"));
}

TEST_F(CheckpointTables, IdsAreOfTheirBuckets) {
  for (const char* name : {"id", "waiting/id"}) {
    auto ids = column<int64_t>(name);
    std::swap(ids.front(), ids.back());
    EXPECT_THAT(with<int64_t>(name, ids),
                AllOf(HasSubstr(str("/item/", name, ": row 0: found ", ids.front())),
                      HasSubstr("expected an id of bucket ")));
    ids.front() = -1;
    EXPECT_THAT(with<int64_t>(name, ids), HasSubstr("row 0: found -1"));
  }
  EXPECT_THAT(with<uint8_t>("waiting/steps", {0, 1}),
              HasSubstr("/item/waiting/steps: found 0, expected 1 to 254"));
}

}  // namespace
}  // namespace lime
