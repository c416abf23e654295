#include "io/import_taobao.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "io/import_values.h"
#include "tests/io/import_dump.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* sample_header = "user,time_stamp,adgroup_id,pid,nonclk,clk\n";
constexpr const char* behavior_header = "user,time_stamp,btag,cate,brand\n";
constexpr const char* ad_header = "adgroup_id,cate_id,campaign_id,customer,brand,price\n";
// The published header ends with a space.
constexpr const char* user_header =
    "userid,cms_segid,cms_group_id,final_gender_code,age_level,pvalue_level,shopping_level,occupation,"
    "new_user_class_level \n";

constexpr int64_t midnight = 1494604800;  // 2017-05-13 00:00 at UTC+8, in seconds
constexpr int64_t day = 86400;

class TaobaoTest : public testing::Test {
 protected:
  TaobaoTest() {
    options_.samples = {directory_.file("raw_sample*.csv")};
    options_.behavior = {directory_.file("behavior_log*.csv")};
    options_.out = directory_.file("dataset");
    options_.writer.parts = 2;
    behavior("");
  }
  void samples(const std::string& rows) { write("raw_sample.csv", sample_header + rows); }
  void behavior(const std::string& rows) { write("behavior_log.csv", behavior_header + rows); }
  void write(const std::string& name, const std::string& text) { write_file(directory_.file(name), text); }
  // Of ad 5, at `after` seconds from midnight.
  static std::string sample(int64_t user, int64_t after, int64_t ad = 5, bool click = false,
                            const std::string& pid = "430548_1007") {
    return str(user, ",", midnight + after, ",", ad, ",", pid, click ? ",0,1\n" : ",1,0\n");
  }
  static std::string act(int64_t user, int64_t after, const std::string& what = "pv,6250,91286") {
    return str(user, ",", midnight + after, ",", what, "\n");
  }
  DumpedDataset import() {
    report_ = import_taobao(options_);
    return dump(Dataset::open(options_.out));
  }
  std::string failure() {
    const std::string error = user_error([&] { import_taobao(options_); });
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path()))
      EXPECT_FALSE(entry.is_directory()) << "left behind: " << entry.path();
    return error;
  }

  TempDirectory directory_;
  TaobaoOptions options_;
  ImportReport report_;
};

TEST_F(TaobaoTest, SamplesAreRequestsAndBehaviorTheirHistory) {
  samples(sample(7, 3661, 5, true) + sample(8, -1, 6, false, "430539_1007"));
  behavior(act(7, 10) + act(7, 5, "cart,1,2") + act(7, 20, "fav,3,NULL") + act(8, -day, "buy,4,0") +
           act(8, -day + 1, "ipv,4,0"));
  const auto data = import();
  EXPECT_EQ(report_.rows, 7);
  EXPECT_EQ(report_.requests, 2);
  EXPECT_EQ(report_.events, 5);
  EXPECT_THAT(report_.left_out, ElementsAre());
  EXPECT_THAT(report_.label_rates, ElementsAre(0.5));

  const auto& request = data.request(7, (midnight + 3661) * 1000);
  EXPECT_EQ(request.day, "2017-05-13");
  EXPECT_EQ(request.ids.at("pid"), hashed_id("430548_1007"));
  EXPECT_EQ(request.ids.at("hour"), 1);
  ASSERT_EQ(request.candidates.size(), 1U);
  EXPECT_EQ(request.candidates[0].item, 5);
  EXPECT_EQ(request.candidates[0].labels.at("click"), 1);
  ASSERT_EQ(request.history.size(), 3U);  // by time, though the file is not
  const auto& cart = request.history[0];
  EXPECT_EQ(cart.time, (midnight + 5) * 1000);
  EXPECT_EQ(cart.item, -1);
  EXPECT_EQ(cart.ids.at("btag"), 2);
  EXPECT_EQ(cart.ids.at("cate"), 1);
  EXPECT_EQ(cart.ids.at("brand"), 2);
  EXPECT_EQ(request.history[1].ids.at("btag"), 1);
  EXPECT_EQ(request.history[1].ids.at("brand"), 91286);
  EXPECT_EQ(request.history[2].ids.at("btag"), 3);
  EXPECT_EQ(request.history[2].ids.at("brand"), -1);

  const auto& other = data.request(8, (midnight - 1) * 1000);
  EXPECT_EQ(other.day, "2017-05-12");  // midnight in Shanghai, not in Greenwich
  EXPECT_EQ(other.ids.at("hour"), 23);
  EXPECT_EQ(other.candidates[0].labels.at("click"), 0);
  EXPECT_EQ(other.history[0].ids.at("btag"), 4);
  EXPECT_EQ(other.history[1].ids.at("btag"), 1);  // ipv, as the description has it
  EXPECT_FALSE(Dataset::open(options_.out).schema().event_items);
}

TEST_F(TaobaoTest, HistoriesAreStrictlyBeforeTheRequest) {
  samples(sample(7, 100) + sample(7, 200));
  behavior(act(7, 99) + act(7, 100) + act(7, 150) + act(7, 250));
  const auto data = import();
  EXPECT_EQ(data.request(7, (midnight + 100) * 1000).history.size(), 1U);
  EXPECT_EQ(data.request(7, (midnight + 200) * 1000).history.size(), 3U);
  EXPECT_EQ(data.request(7, (midnight + 200) * 1000).later.size(), 1U);
}

TEST_F(TaobaoTest, AdsOfOneSecondAndPlaceAreOneRequest) {
  samples(sample(7, 50, 1) + sample(8, 50, 2) + sample(7, 51, 3) + sample(7, 50, 4, true, "430539_1007") +
          sample(7, 50, 5, true) + sample(7, 50, 1));
  const auto data = import();
  EXPECT_EQ(report_.requests, 4);
  EXPECT_EQ(report_.candidates, 6);
  std::vector<int64_t> shown;
  for (const auto& request : data.requests)
    if (request.user == 7 && request.time == (midnight + 50) * 1000 &&
        request.ids.at("pid") == hashed_id("430548_1007"))
      for (const auto& candidate : request.candidates) shown.push_back(candidate.item);
  EXPECT_THAT(shown, ElementsAre(1, 5, 1));  // an ad that stands twice was shown twice
}

TEST_F(TaobaoTest, LeavesOutWhomNoRequestAsksForAndTimesThatCannotBe) {
  samples(sample(7, 50));
  behavior(act(7, day - 1) + act(7, day) + act(7, -21 * day) + act(7, -21 * day - 1) +
           "7,-1500000000,pv,1,1\n" + "7,99999999999,pv,1,1\n" + act(9, 0) + act(9, 1) + act(7, 0));
  const auto data = import();
  EXPECT_THAT(report_.left_out,
              ElementsAre("2 behaviours of users without samples",
                          "4 behaviours outside the 22 days 2017-04-22..2017-05-13, which end with the last "
                          "sample's"));
  EXPECT_EQ(data.events.size(), 1U);
  ASSERT_EQ(data.events.at(7).size(), 3U);
  EXPECT_EQ(data.events.at(7)[0].time, (midnight - 21 * day) * 1000);
  EXPECT_EQ(data.events.at(7)[2].time, (midnight + day - 1) * 1000);
  EXPECT_EQ(report_.bad_rows, 0);
}

TEST_F(TaobaoTest, ReadsAdsAndUsersWithWhatIsNotKnown) {
  samples(sample(7, 50) + sample(8, 50) + sample(9, 50, 77));
  write("ad_feature.csv", str(ad_header, "5,6250,83237,1,95471,170.0\n6,4520,1,2,NULL,0.01\n7,1,2,3,4,\n"));
  write("user_profile.csv", str(user_header, "7,0,5,2,5,,3,0,3\n8,1,2,1,4,2,3,1,\n"));
  options_.ads = directory_.file("ad_feature.csv");
  options_.users = directory_.file("user_profile.csv");
  const auto data = import();
  EXPECT_EQ(report_.items, 3);
  EXPECT_EQ(data.items.at(5).ids.at("cate"), 6250);
  EXPECT_EQ(data.items.at(5).ids.at("campaign"), 83237);
  EXPECT_EQ(data.items.at(5).ids.at("customer"), 1);
  EXPECT_EQ(data.items.at(5).ids.at("brand"), 95471);
  EXPECT_FLOAT_EQ(data.items.at(5).reals.at("price"), static_cast<float>(std::log1p(170.0)));
  EXPECT_EQ(data.items.at(6).ids.at("brand"), -1);
  EXPECT_THAT(data.items.at(7).reals.at("price"), testing::IsNan());
  EXPECT_EQ(data.users.at(7).ids.at("cms_group_id"), 5);
  EXPECT_EQ(data.users.at(7).ids.at("pvalue_level"), -1);
  EXPECT_EQ(data.users.at(7).ids.at("new_user_class_level"), 3);
  EXPECT_EQ(data.users.at(8).ids.at("new_user_class_level"), -1);
  EXPECT_EQ(data.users.at(9).ids.at("age_level"), -1);  // not in the file
}

TEST_F(TaobaoTest, SeveralFilesInAnyOrderGiveTheSame) {
  write("raw_sample_1.csv", sample_header + sample(7, 50) + sample(8, 10));
  write("raw_sample_2.csv", sample_header + sample(7, 80));
  write("behavior_log_2.csv", behavior_header + act(7, 60) + act(7, 20) + act(8, 1));
  const auto first = import();
  write("raw_sample_1.csv", sample_header + sample(7, 80));
  write("raw_sample_2.csv", sample_header + sample(8, 10) + sample(7, 50));
  write("behavior_log_2.csv", behavior_header + act(8, 1) + act(7, 20) + act(7, 60));
  options_.out = directory_.file("again");
  options_.writer.memory_bytes = 0;  // the least
  EXPECT_EQ(import().requests, first.requests);
}

TEST_F(TaobaoTest, NamesFileLineAndColumnOfAMalformedValue) {
  samples(sample(7, 50) + str("7,", midnight, ",5,430548_1007,1,1\n"));
  EXPECT_THAT(failure(), HasSubstr("raw_sample.csv:3:nonclk: found '1', expected 0, as clk is 1"));
  samples(str("7,", midnight, ",5,430548_1007,1,2\n"));
  EXPECT_THAT(failure(), HasSubstr("raw_sample.csv:2:clk: found '2', expected an integer from 0 to 1"));
  samples(str("7,", midnight, "000,5,430548_1007,1,0\n"));
  EXPECT_THAT(failure(),
              HasSubstr("raw_sample.csv:2:time_stamp: found '1494604800000', expected an integer"));
  samples("7,253402272000,5,430548_1007,1,0\n");  // 10000-01-01 at UTC+8
  EXPECT_THAT(failure(), HasSubstr("raw_sample.csv:2:time_stamp: found '253402272000', expected an integer"));
  samples(sample(7, 50));
  behavior(act(7, 0) + act(9, 0, "view,1,2"));  // of a user who would be left out
  EXPECT_THAT(failure(), HasSubstr("behavior_log.csv:3:btag: found 'view', expected pv, cart, fav or buy"));
  behavior("7,soon,pv,1,2\n");
  EXPECT_THAT(failure(), HasSubstr("behavior_log.csv:2:time_stamp: found 'soon', expected an integer"));
  behavior("");
  options_.ads = directory_.file("ad_feature.csv");
  write("ad_feature.csv", str(ad_header, "5,1,1,1,NULL,-2.5\n"));
  EXPECT_THAT(failure(), HasSubstr("ad_feature.csv:2:price: found '-2.5', expected a price of at least 0"));
  options_.max_bad_rows = 1;
  import();
  EXPECT_EQ(report_.bad_rows, 1);
}

TEST_F(TaobaoTest, NamesAMissingColumn) {
  samples(sample(7, 50));
  write("behavior_log.csv", "user,time_stamp,btag,category,brand\n");
  EXPECT_THAT(failure(), HasSubstr("behavior_log.csv:1: no column 'cate' (nearest: 'category')"));
  options_.behavior = {directory_.file("nothing.csv")};
  EXPECT_THAT(failure(), HasSubstr("nothing.csv: found no file of this name or pattern"));
  behavior("");
  options_.behavior = {directory_.file("behavior_log.csv")};
  samples("");
  EXPECT_THAT(failure(), HasSubstr("found no row to learn from"));
}

TEST_F(TaobaoTest, AddsADayWithWhatUsersWithoutSamplesOfItDid) {
  samples(sample(7, -day) + sample(8, -day));
  behavior(act(7, -day - 5) + act(9, -day - 5));
  import();
  options_.writer.add = true;
  samples(sample(7, -day) + sample(7, 50) + sample(9, 60));
  behavior(act(7, -day - 5) + act(7, 10) + act(8, 20) + act(9, -day - 5) + act(9, 30) + act(10, 30));
  const auto data = import();
  EXPECT_THAT(report_.added->days, ElementsAre("2017-05-13"));
  EXPECT_EQ(report_.added->known_requests, 1);
  EXPECT_EQ(report_.added->known_events, 2);
  EXPECT_THAT(report_.left_out, ElementsAre("1 behaviours of users without samples"));
  EXPECT_EQ(data.events.at(7).size(), 2U);
  EXPECT_EQ(data.events.at(8).size(), 1U);  // of the dataset, without a sample on this day
  EXPECT_EQ(data.events.at(9).size(), 1U);  // what came before is of a user whom nobody knew
}

}  // namespace
}  // namespace lime
