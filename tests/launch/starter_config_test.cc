// The configuration that lime configure writes: of any dataset it can be trained with.
#include "launch/starter_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "io/import_csv.h"
#include "model/config.h"
#include "tests/launch/program.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class StarterConfig : public testing::Test {
 protected:
  // Imports what a mapping says of files in the directory.
  std::string import(const std::string& mapping) {
    write_file(temp_.file("mapping.yaml"), mapping);
    CsvImportOptions options;
    options.mapping = temp_.file("mapping.yaml");
    options.out = temp_.file("data");
    options.writer.parts = 2;
    import_csv(options);
    return options.out;
  }
  static Config parsed(const std::string& data, StarterOptions options = {}) {
    options.data_path = data;
    return parse_config(starter_config(Dataset::open(data), options).text, "starter", {});
  }

  TempDirectory temp_;
};

TEST_F(StarterConfig, NamesAllThatThereIs) {
  const std::string data = temp_.file("small");
  const Dataset dataset = write_small_dataset(data);
  const Config config = parsed(data);
  EXPECT_EQ(config.data.path, data);
  EXPECT_EQ(config.data.train, "2024-01-01..2024-01-02");
  EXPECT_EQ(config.data.eval, "2024-01-03");
  EXPECT_EQ(config.tasks.size(), 1u);
  EXPECT_EQ(config.tasks[0].label, "click");
  EXPECT_EQ(config.data.max_history, 256);
  EXPECT_EQ(config.train.batch_requests, 32);
  size_t sides = 0;
  for (const auto& column : dataset.schema().columns) {
    const auto has = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), column.name) != names.end();
    };
    sides += has(config.features.history) + has(config.features.candidate) + has(config.features.user);
    EXPECT_TRUE(has(config.features.history) || has(config.features.candidate) || has(config.features.user))
        << column.name;
  }
  EXPECT_GE(sides, dataset.schema().columns.size());
  const std::string text = starter_config(dataset, {"like", 2, "elsewhere"}).text;
  EXPECT_THAT(text, HasSubstr("  train: 2024-01-01\n  eval: 2024-01-02..2024-01-03\n"));
  EXPECT_THAT(text, HasSubstr("tasks: [like]   # there are also click; several at once: [like, click]\n"));
  EXPECT_THAT(text, Not(HasSubstr("Of impressions")));
  EXPECT_THAT(text, HasSubstr("  path: elsewhere\n"));
}

// A comment, a map, a null and a number begin with what these names have.
TEST_F(StarterConfig, NamesThatYamlReadsOtherwise) {
  const std::string data = temp_.file("gen #2: b");
  write_file(temp_.file("log.csv"), "u,i,t,yes,null\n1,2,5,1,3\n1,3,6,0,4\n");
  write_file(temp_.file("mapping.yaml"),
             "impressions: {files: log.csv, user: u, item: i, time: {column: t, unit: s}, labels: {'yes': "
             "'yes'},\n  request_features: {'null': {kind: id}}}\n");
  CsvImportOptions options;
  options.mapping = temp_.file("mapping.yaml");
  options.out = data;
  import_csv(options);
  const Config config = parsed(data);
  EXPECT_EQ(config.data.path, data);
  EXPECT_EQ(config.tasks.at(0).label, "yes");
  EXPECT_THAT(config.features.user, ElementsAre("user", "null"));
}

TEST_F(StarterConfig, RefusesWhatTheDatasetHasNot) {
  const Dataset dataset = write_small_dataset(temp_.file("small"));
  EXPECT_THAT(user_error([&] {
                starter_config(dataset, {"clicks", 0, "x"});
              }),
              HasSubstr("--task: unknown label 'clicks' (nearest: 'click')"));
  EXPECT_THAT(user_error([&] {
                starter_config(dataset, {"", 3, "x"});
              }),
              HasSubstr("--hold-out: found 3, expected less than the 3 days of the dataset"));
}

TEST_F(StarterConfig, AYoungLogOfOneDayHoldsNothingOut) {
  write_file(temp_.file("log.csv"), "u,i,t,c,age\n1,2,5,1,30\n1,3,6,0,31\n");
  const std::string data = import(
      "impressions: {files: log.csv, user: u, item: i, time: {column: t, unit: s}, labels: {c: c}, event: "
      "none,\n"
      "  request_features: {age: {kind: real}}}\n");
  const Config config = parsed(data);
  EXPECT_EQ(config.data.train, "1970-01-01");
  EXPECT_EQ(config.data.eval, "");
  EXPECT_THAT(config.features.history, ElementsAre("item", "age"));
  EXPECT_THAT(config.features.user, ElementsAre("user"));  // 'age' there is that of events
  EXPECT_EQ(lime_program(str("configure ", data, " --hold-out 1")).exit_code, 2);
}

// A twentieth of the requests is held out, by whole days.
TEST_F(StarterConfig, AsManyDaysAsItTakes) {
  std::string log = "u,i,t,c\n";
  for (int day = 0; day < 30; ++day)
    for (int r = 0; r < (day < 26 ? 10 : 4); ++r)
      log += str(r, ",", day, ",", day * 86400 + r, ",", r % 2, "\n");
  write_file(temp_.file("log.csv"), log);
  const Config config = parsed(import(
      "impressions: {files: log.csv, user: u, item: i, time: {column: t, unit: s}, labels: {c: c}}\n"));
  EXPECT_EQ(config.data.eval, "1970-01-27..1970-01-30");  // 16 of 276
}

TEST_F(StarterConfig, SaysWhereNegativesCouldBeLeftOut) {
  std::string log = "u,i,t,click,buy\n";
  for (int r = 0; r < 6000; ++r)
    log += str(r % 70, ",", r % 90, ",", r * 100, ",", r % 3 == 0, ",", r % 50 == 0, "\n");
  write_file(temp_.file("log.csv"), log);
  const Dataset dataset =
      Dataset::open(import("impressions: {files: log.csv, user: u, item: i, time: {column: t, unit: s}, "
                           "labels: {click: click, buy: buy}}\n"));
  EXPECT_THAT(starter_config(dataset, {"click", 0, "d"}).text, Not(HasSubstr("keep_negatives")));
  EXPECT_THAT(starter_config(dataset, {"buy", 0, "d"}).text,
              HasSubstr("  # keep_negatives: 0.2   # 2.0 of 100 candidates are positive: "));
}

// What is only known afterwards is no feature of what is to be ranked, whatever label it gives away; it is
// one of histories, where it is the past.
TEST_F(StarterConfig, LeavesOutWhatGivesALabelAway) {
  std::string log = "u,i,t,buy,click,watch_s,cat,state,coupon\n";
  for (int r = 0; r < 3000; ++r) {
    const int draw = r * 7919 % 1009, click = draw % 3 == 0, buy = draw % 9 == 0;
    log +=
        str(r % 50, ",", draw % 40, ",", r * 100, ",", buy, ",", click, ",", click ? 3 + draw % 60 : draw % 4,
            ",", draw % 2 == 0 ? 7 : buy, ",", click + buy, ",", buy ? str(r) : "", "\n");
  }
  write_file(temp_.file("log.csv"), log);
  const std::string data = import(
      "impressions: {files: log.csv, user: u, item: i, time: {column: t, unit: s}, labels: {buy: buy, click: "
      "click},\n  request_features: {watch_s: {kind: real}},\n"
      "  candidate_features: {cat: {kind: id}, state: {kind: id}, coupon: {kind: id}}, event: {features: "
      "{watch_s: {kind: "
      "real}}}}\n");
  const Config config = parsed(data);
  EXPECT_THAT(config.features.history, ElementsAre("item", "age", "watch_s"));
  EXPECT_THAT(config.features.candidate, ElementsAre("item", "cat"));
  EXPECT_THAT(config.features.user, ElementsAre("user"));
  const Outcome written = lime_program(str("configure ", data));
  EXPECT_THAT(written.out, HasSubstr("answered: put it back into its list.\n"
                                     "  #   candidate: state   AUC alone 1.000 of buy\n"
                                     "  #   candidate: coupon   AUC alone 1.000 of buy\n"
                                     "  #   user: watch_s   AUC alone 0.993 of click\n"
                                     "  history: [item, age, watch_s]\n"));
  EXPECT_THAT(written.err,
              HasSubstr("lime: left out candidate.coupon: alone it has an AUC of 1.000 of buy, "));
  EXPECT_THAT(written.err, HasSubstr("lime: left out user.watch_s: alone it has an AUC of 0.993 of click, "));
}

// Events that have no item, lists, numbers: trained on as it is written.
TEST_F(StarterConfig, IsTrained) {
  std::string log = "u,i,t,c,tags,price,hour\n", clicks = "u,t,cate\n";
  for (int r = 0; r < 600; ++r) {
    log += str(r % 20, ",", r % 7, ",", r * 600, ",", r / 7 % 3 == 0, ",", r % 5, "|", r % 4, ",", r % 11,
               ",", r % 24, "\n");
    clicks += str(r % 20, ",", r * 600, ",", r % 6, "\n");
  }
  write_file(temp_.file("log.csv"), log);
  write_file(temp_.file("clicks.csv"), clicks);
  const std::string data = import(
      "impressions: {files: log.csv, user: u, item: i, time: {column: t, unit: s}, labels: {c: c},\n"
      "  request_features: {hour: {kind: id}}, candidate_features: {tags: {kind: ids}, price: {kind: "
      "real}}}\n"
      "events: {files: clicks.csv, user: u, time: {column: t, unit: s}, features: {cate: {kind: id}}}\n");
  const std::string config = temp_.file("shop.yaml");
  const Outcome written = lime_program(str("configure ", data, " --out ", config));
  EXPECT_EQ(written.exit_code, 0) << written.err;
  EXPECT_EQ(written.err, "");  // nothing is left out
  EXPECT_THAT(written.out, HasSubstr(str("lime train ", config)));
  const Outcome again = lime_program(str("configure ", data, " --out ", config));
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("shop.yaml: exists already"));
  EXPECT_EQ(lime_program(str("configure ", data)).out, read_file(config));
  const Outcome trained = lime_program(str("train ", config, " --out ", temp_.file("run")));
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.out + trained.err, HasSubstr("AUC"));
  // What items alone do not have is told of by both, and refused where items are all that there is.
  EXPECT_THAT(read_file(config),
              HasSubstr("  # Of impressions, not of items: tags, price. lime cache build "));
  EXPECT_THAT(trained.out + trained.err,
              HasSubstr("note: features.candidate has columns of impressions, which items alone do not have: "
                        "tags, price; for lime cache build and lime score train without them\n"));
  const Outcome cached =
      lime_program(str("cache build ", temp_.file("run"), " --out ", temp_.file("cache.h5")));
  EXPECT_EQ(cached.exit_code, 2);
  EXPECT_THAT(cached.err, HasSubstr("features.candidate: 'tags' is a column of the impression"));
}

}  // namespace
}  // namespace lime
