// Rows of items by id, and the candidate features of items outside of any request.
#include "io/item_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "io/dataset_writer.h"
#include "io/item_table.h"
#include "io/row_index.h"
#include "runtime/error.h"
#include "runtime/philox.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(RowIndex, FindsWhatIsThere) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{5}, size_t{1000}}) {
    std::vector<int64_t> ids, asked;
    const Philox random(1, stream_of("ids"));
    for (size_t i = 0; i < count; ++i)
      ids.push_back(static_cast<int64_t>(random.below(1u << 20, i) * count + i));
    const RowIndex index(ids);
    for (size_t i = 0; i < count; ++i) asked.push_back(ids[count - 1 - i]);
    asked.insert(asked.end(), {-1, int64_t{1} << 60});
    std::vector<int32_t> rows(asked.size(), 7);
    index.find(asked, rows.data());
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(index.find(ids[i]), static_cast<int32_t>(i));
      EXPECT_EQ(rows[i], static_cast<int32_t>(count - 1 - i));
    }
    EXPECT_EQ(rows[count], -1);
    EXPECT_EQ(rows[count + 1], -1);
    EXPECT_EQ(index.find(-5), -1);
  }
}

DatasetSchema schema() {
  DatasetSchema s;
  s.name = "items";
  s.columns = {{"author", ColumnGroup::item, ColumnKind::id},
               {"topics", ColumnGroup::item, ColumnKind::ids},
               {"price", ColumnGroup::item, ColumnKind::real},
               {"shelf", ColumnGroup::item, ColumnKind::id},
               {"place", ColumnGroup::candidate, ColumnKind::id}};
  s.labels = {"click"};
  return s;
}

class Items : public testing::Test {
 protected:
  void SetUp() override {
    DatasetWriter writer(temp_.file("data"), schema(), {});
    for (const int64_t item : {3, 8, 20}) {
      RowValues values;
      values.ids = {100 + item, 7};
      values.lists = {{item, item + 1}};
      values.reals = {static_cast<float>(item) / 2};
      if (item == 8) values.lists = {{}};
      writer.add_item(item, values);
    }
    RequestRow request;
    request.user = 1, request.time_ms = 1704067200000, request.day = "2024-01-01";
    writer.add_request(request);
    writer.finish();
  }
  std::string items() const { return temp_.file("data") + "/items.h5"; }
  TempDirectory temp_;
};

TEST_F(Items, HaveTheirColumnsWhateverTheRequest) {
  BatchSpec spec;
  spec.history = {"shelf"};  // a column that only histories need comes first in the plan
  spec.candidate = {"price", "topics", "item", "author"};
  const ItemFeatures features(schema(), spec, items());
  const std::vector<int64_t> asked = {20, 5, 8, 3, 20};
  const FeatureColumns columns = features.columns(asked);
  ASSERT_EQ(columns.id_columns.size(), 3u);
  EXPECT_THAT(columns.id_columns[0].ids, ElementsAre(20, 21, 3, 4, 20, 21));
  EXPECT_THAT(columns.id_columns[0].offsets, ElementsAre(0, 2, 2, 2, 4, 6));
  EXPECT_THAT(columns.id_columns[1].ids, ElementsAre(20, 5, 8, 3, 20));
  EXPECT_THAT(columns.id_columns[2].ids, ElementsAre(120, -1, 108, 103, 120));
  EXPECT_THAT(columns.real, ElementsAre(10, 0, 4, 1.5, 10));
  EXPECT_THAT(read_item_ids(items()), ElementsAre(3, 8, 20));
}

TEST_F(Items, OfTheirIdAloneNeedNoFile) {
  BatchSpec spec;
  spec.candidate = {"item"};
  const std::vector<int64_t> asked = {4, 2};
  EXPECT_THAT(ItemFeatures(schema(), spec, "no such file").columns(asked).id_columns[0].ids,
              ElementsAre(4, 2));
}

TEST_F(Items, HaveNoColumnsOfAnImpression) {
  BatchSpec spec;
  spec.candidate = {"item", "place"};
  EXPECT_THAT(user_error([&] { ItemFeatures(schema(), spec, items()); }),
              AllOf(HasSubstr("features.candidate: 'place' is a column of the impression, not of the item"),
                    HasSubstr("train without it, or import it among request_features")));
}

std::vector<PlannedColumn> all_columns() {
  const DatasetSchema s = schema();
  std::vector<PlannedColumn> columns;
  for (size_t c = 0; c < 4; ++c) columns.push_back({s.columns[c]});
  return columns;
}

// For GoogleMock 1.11, which does not take spans.
template <typename T>
std::vector<T> copy(std::span<const T> values) {
  return {values.begin(), values.end()};
}

TEST_F(Items, OfAnotherTableAreTheSameMemory) {
  auto first = std::make_unique<ItemTable>(items(), all_columns());
  const ItemTable second(first->place());
  EXPECT_EQ(second.bytes(), first->bytes());
  first.reset();  // what is mapped stays
  EXPECT_THAT(copy(second.ids()), ElementsAre(3, 8, 20));
  const std::vector<int64_t> asked = {20, 5, 3};
  std::vector<int32_t> rows(3);
  second.rows_of(asked, rows.data());
  EXPECT_THAT(rows, ElementsAre(2, -1, 0));
  ASSERT_EQ(second.columns(), 4u);
  EXPECT_THAT(copy(second.column(0).ids), ElementsAre(103, 108, 120));
  EXPECT_EQ(second.column(1).kind, ColumnKind::ids);
  EXPECT_THAT(copy(second.column(1).ids), ElementsAre(3, 4, 20, 21));
  EXPECT_THAT(copy(second.column(1).offsets), ElementsAre(0, 2, 2, 4));
  EXPECT_THAT(copy(second.column(2).reals), ElementsAre(1.5, 4, 10));
  EXPECT_THAT(copy(second.column(3).ids), ElementsAre(7, 7, 7));
}

TEST_F(Items, OfATableThatIsNotThereAreRefused) {
  const ItemTable first(items(), all_columns()), other(items(), {});
  EXPECT_NE(first.place().mark, other.place().mark);
  ItemTable::Place place = first.place();
  place.file = other.place().file;
  EXPECT_THAT(user_error([&] { ItemTable{place}; }),
              HasSubstr(str("/fd/", place.file, ": is not the table of items that it was said to be")));
  place.file = 1'000'000;
  EXPECT_THAT(user_error([&] { ItemTable{place}; }),
              HasSubstr("/fd/1000000: cannot be mapped: No such file"));
}

}  // namespace
}  // namespace lime
