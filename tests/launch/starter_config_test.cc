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
    return parse_config(starter_config(Dataset::open(data), options), "starter", {});
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
  EXPECT_EQ(config.data.max_history, 32);
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
  const std::string text = starter_config(dataset, {"like", 2, "elsewhere"});
  EXPECT_THAT(text, HasSubstr("  train: 2024-01-01\n  eval: 2024-01-02..2024-01-03\n"));
  EXPECT_THAT(text, HasSubstr("tasks: [like]   # there are also click; several at once: [like, click]\n"));
  EXPECT_THAT(text, HasSubstr("  path: elsewhere\n"));
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

// Events that have no item, lists, numbers: trained on as it is written.
TEST_F(StarterConfig, IsTrained) {
  std::string log = "u,i,t,c,tags,price,hour\n", clicks = "u,t,cate\n";
  for (int r = 0; r < 600; ++r) {
    log += str(r % 20, ",", r % 7, ",", r * 600, ",", r % 3 == 0, ",", r % 5, "|", r % 4, ",", r % 11, ",",
               r % 24, "\n");
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
  EXPECT_THAT(written.out, HasSubstr(str("lime train ", config)));
  const Outcome again = lime_program(str("configure ", data, " --out ", config));
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("shop.yaml: exists already"));
  EXPECT_EQ(lime_program(str("configure ", data)).out, read_file(config));
  const Outcome trained = lime_program(str("train ", config, " --out ", temp_.file("run")));
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.out + trained.err, HasSubstr("AUC"));
}

}  // namespace
}  // namespace lime
