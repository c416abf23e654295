// A log in the form of Taobao's, end to end: what users like shows in what they did in the shop and nowhere
// else, by a category that behaviours and ads have in common.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::HasSubstr;

constexpr int users = 1000, categories = 6;
constexpr int64_t first_day = 1494000000;  // 2017-05-06 at UTC+8, in seconds
constexpr int64_t day = 86400;

class Taobao : public testing::Test {
 protected:
  // Each user likes one category: of it are most of his behaviours and half of the ads that he is shown.
  void SetUp() override {
    std::mt19937 random(5);
    const auto below = [&](int n) { return static_cast<int64_t>(random() % static_cast<unsigned>(n)); };
    std::string ads = "adgroup_id,cate_id,campaign_id,customer,brand,price\n", behavior, samples, profiles;
    for (int ad = 0; ad < 60; ++ad)
      ads += str(ad, ",", 1000 + ad % categories, ",", ad, ",", ad, ",NULL,", 1 + ad, "\n");
    for (int user = 0; user < users; ++user) {
      const int64_t liked = below(categories);
      profiles += str(user, ",0,1,2,3,,3,0,\n");
      for (int k = 0; k < 30; ++k)
        behavior += str(user, ",", first_day - 1 - below(10) * day - below(80000), ",pv,",
                        1000 + (below(10) < 8 ? liked : below(categories)), ",", below(50), "\n");
      for (int k = 0; k < 32; ++k) {
        const int64_t category = below(2) == 0 ? liked : below(categories);
        const bool click = below(100) < (category == liked ? 60 : 5);
        samples += str(user, ",", first_day + k / 4 * day + below(86400), ",",
                       category + categories * below(10), ",430548_1007,", click ? "0,1\n" : "1,0\n");
      }
    }
    write_file(path("ad_feature.csv"), ads);
    write_file(path("behavior_log.csv"),
               "user,time_stamp,btag,cate,brand\n" + behavior + str("9999,", first_day - 5, ",buy,1000,1\n"));
    write_file(path("raw_sample.csv"), "user,time_stamp,adgroup_id,pid,nonclk,clk\n" + samples);
    write_file(path("user_profile.csv"),
               "userid,cms_segid,cms_group_id,final_gender_code,age_level,pvalue_level,shopping_level,"
               "occupation,new_user_class_level \n" +
                   profiles);
    imported_ = lime_program(str("import taobao --samples ", path("raw_sample.csv"), " --behavior ",
                                 path("behavior_log.csv"), " --ads ", path("ad_feature.csv"), " --users ",
                                 path("user_profile.csv"), " --parts 4 --out ", path("data")));
    ASSERT_EQ(imported_.exit_code, 0) << imported_.err;
  }
  std::string path(const std::string& name) const { return temp_.file(name); }

  // Small, so that seconds are enough; without the ids of users and ads, which would be learned by heart.
  std::string train(const std::string& name) const {
    return str("train ", LIME_SOURCE_DIR, "/configs/taobao.yaml --out ", path(name),
               " --set data.path=", path("data"), " --set features.candidate=[cate,price]",
               " --set features.user=[pid,hour,age_level] --set embeddings.dim=8 --set embeddings.init_std=1",
               " --set embeddings.learning_rate=0.1 --set model.width=16 --set model.links=4",
               " --set model.blocks=1 --set model.head_hidden=16 --set train.batch_requests=32",
               " --set train.learning_rate=2e-3 --set train.clip_norm=1 --set train.epochs=2");
  }
  double auc(const std::string& name) const { return held_out_auc(path(name)); }

  TempDirectory temp_;
  Outcome imported_;
};

TEST_F(Taobao, WhatIsLikedShowsOnlyInBehaviors) {
  EXPECT_THAT(imported_.out, HasSubstr("left out 1 behaviours of users without samples\n"));
  EXPECT_THAT(imported_.out, HasSubstr("30000 events"));
  EXPECT_THAT(imported_.out, HasSubstr("days 2017-05-06..2017-05-13"));

  const Outcome trained = lime_program_on(2, train("whole"));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_GT(auc("whole"), 0.77);
  EXPECT_LT(auc("whole"), 0.80) << "the best is 0.787: a leak";
  const Outcome without = lime_program_on(2, train("without") + " --set data.max_history=0");
  ASSERT_EQ(without.exit_code, 0) << without.err;
  EXPECT_LT(auc("without"), 0.55);

  // The candidates' categories and the history's are rows of one table.
  EXPECT_THAT(lime_program("inspect --digests " + path("whole")).out, HasSubstr("\n/cate rows 6 dim 8 "));
  expect_mistake(
      train("refused") + " --set features.history=[item,cate]",
      "features.history: found 'item', and the events of this dataset have no item; available: age, "
      "btag, cate, brand");
}

}  // namespace
}  // namespace lime
