// Events without an item, and columns that events have of their own though items have them, too: what
// histories and candidates then read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/dataset_writer.h"
#include "io/inspect.h"
#include "io/reader.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto event = ColumnGroup::event, item = ColumnGroup::item;
constexpr auto id = ColumnKind::id, ids = ColumnKind::ids, real = ColumnKind::real;

// Events with a category and a price, ads with a category, a price and a brand.
DatasetSchema schema(bool event_items) {
  DatasetSchema s;
  s.name = "ads";
  s.event_items = event_items;
  s.columns = {{"cate", item, id},  {"brand", item, id}, {"price", item, real},
               {"cate", event, id}, {"tag", event, id},  {"price", event, real}};
  s.labels = {"click"};
  return s;
}

class EventColumns : public testing::Test {
 protected:
  // User 1 did something with category 30, price 3 and then with 31, price 4; ads 5 and 6 are of categories
  // 30 and 40, prices 7 and 8. With `event_items` the events are of ads 6 and 5.
  Dataset write(bool event_items) {
    WriterOptions options;
    options.parts = 1;
    options.overwrite = true;
    DatasetWriter writer(path(), schema(event_items), options);
    writer.add_event({1, 1000, event_items ? 6 : -1, {{30, 1}, {}, {3}}});
    writer.add_event({1, 2000, event_items ? 5 : -1, {{31, 2}, {}, {4}}});
    RequestRow request{1, 3000, "1970-01-01", {}, {}};
    request.candidates = {{5, {}, {1}, {}}, {6, {}, {0}, {}}};
    writer.add_request(request);
    writer.add_item(5, {{30, 300}, {}, {7}});
    writer.add_item(6, {{40, 400}, {}, {8}});
    return writer.finish();
  }
  static MicroBatch read(const Dataset& dataset, std::vector<std::string> history,
                         std::vector<std::string> candidate) {
    ReaderOptions options;
    options.days = {"1970-01-01"};
    options.virtual_shards = 1;
    options.spec.history = std::move(history), options.spec.candidate = std::move(candidate);
    options.spec.user = {"user"}, options.spec.tasks = {"click"}, options.spec.task_weights = {1};
    BatchReader reader(dataset, options);
    return reader.next().micro.at(0);
  }
  std::string path() const { return temp_.file("data"); }
  TempDirectory temp_;
};

TEST_F(EventColumns, OneNameIsTheEventsInHistoriesAndTheItemsInCandidates) {
  for (const bool event_items : {false, true}) {
    const auto batch = read(write(event_items), {"price", "tag", "cate"}, {"item", "brand", "cate", "price"});
    EXPECT_THAT(batch.history.id_columns.at(0).ids, ElementsAre(1, 2));
    EXPECT_THAT(batch.history.id_columns.at(1).ids, ElementsAre(30, 31));
    EXPECT_THAT(batch.history.real, ElementsAre(3, 4));
    EXPECT_THAT(batch.candidate.id_columns.at(0).ids, ElementsAre(5, 6));
    EXPECT_THAT(batch.candidate.id_columns.at(1).ids, ElementsAre(300, 400));
    EXPECT_THAT(batch.candidate.id_columns.at(2).ids, ElementsAre(30, 40));
    EXPECT_THAT(batch.candidate.real, ElementsAre(7, 8));
  }
}

TEST_F(EventColumns, WhatOnlyItemsHaveIsJoinedWhereEventsHaveAnItem) {
  const auto batch = read(write(true), {"item", "brand", "cate"}, {"item"});
  EXPECT_THAT(batch.history.id_columns.at(0).ids, ElementsAre(6, 5));
  EXPECT_THAT(batch.history.id_columns.at(1).ids, ElementsAre(400, 300));
  EXPECT_THAT(batch.history.id_columns.at(2).ids, ElementsAre(30, 31));
}

TEST_F(EventColumns, WithoutItemsHistoriesHaveNothingOfThem) {
  const Dataset dataset = write(false);
  EXPECT_FALSE(Dataset::open(path()).schema().event_items);
  EXPECT_THAT(read_file(path() + "/dataset.yaml"), HasSubstr("\nevent_items: false\n"));
  EXPECT_EQ(
      user_error([&] {
        read(dataset, {"cate", "item"}, {"item"});
      }),
      "features.history: found 'item', and the events of this dataset have no item; available: age, cate, "
      "tag, price");
  EXPECT_EQ(
      user_error([&] { read(dataset, {"brand"}, {"item"}); }),
      "features.history: found 'brand', a column of items, and the events of this dataset have no item; "
      "available: age, cate, tag, price");
  EXPECT_THAT(user_error([&] { read(dataset, {"cat"}, {"item"}); }),
              HasSubstr("unknown feature 'cat' (nearest: 'cate'); available: age, cate, tag, price"));
  EXPECT_THAT(inspect(dataset, false), HasSubstr("  event: no item, cate (id), tag (id), price (real)\n"));
  std::string text = read_file(path() + "/dataset.yaml");
  write_file(path() + "/dataset.yaml", text.replace(text.find("items: false"), 12, "items: some"));
  EXPECT_THAT(user_error([&] { Dataset::open(path()); }),
              HasSubstr(": event_items: found 'some', expected true or false"));
  EXPECT_TRUE(write(true).schema().event_items);
  EXPECT_THAT(read_file(path() + "/dataset.yaml"), testing::Not(HasSubstr("event_items")));
}

TEST_F(EventColumns, AWriterHoldsToIt) {
  write(false);
  WriterOptions options;
  options.add = true;
  EXPECT_EQ(user_error([&] { DatasetWriter(path(), schema(true), options); }),
            path() + ": events: found items, expected no items, as the dataset that is added to has it");
  DatasetWriter writer(path(), schema(false), options);
  EXPECT_EQ(user_error([&] {
              writer.add_event({1, 5000, 6, {{30, 1}, {}, {3}}});
            }),
            "event of user 1, item 6: expected none (-1): the events of this dataset have no item");
}

TEST_F(EventColumns, OneNameIsOfIdsOrOfNumbers) {
  DatasetSchema s = schema(true);
  const auto refused = [&](ColumnKind of_event) {
    s.columns[3].kind = of_event;
    return user_error([&] { check_schema(s); });
  };
  EXPECT_EQ(refused(ids), "no UserError was thrown");
  EXPECT_EQ(refused(real), "column 'cate' of group event: group item has one of that name, of kind id");
  s.columns[3] = {"brand", ColumnGroup::candidate, id};
  EXPECT_EQ(user_error([&] { check_schema(s); }),
            "column 'brand' of group candidate: group item has one of that name");
}

}  // namespace
}  // namespace lime
