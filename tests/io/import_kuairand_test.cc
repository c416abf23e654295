#include "io/import_kuairand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "io/import_values.h"
#include "tests/io/import_dump.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* log_header =
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_"
    "view,play_time_ms,"
    "duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n";
constexpr const char* user_header =
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,follow_user_num,follow_"
    "user_num_range,"
    "fans_user_num,fans_user_num_range,friend_user_num,friend_user_num_range,register_days,register_days_"
    "range,onehot_feat0,"
    "onehot_feat1,onehot_feat2,onehot_feat3,onehot_feat4,onehot_feat5,onehot_feat6,onehot_feat7,onehot_feat8,"
    "onehot_feat9,"
    "onehot_feat10,onehot_feat11,onehot_feat12,onehot_feat13,onehot_feat14,onehot_feat15,onehot_feat16,"
    "onehot_feat17\n";
constexpr const char* video_header =
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,server_"
    "height,music_id,"
    "music_type,tag\n";

constexpr int64_t noon = 1651982400000;  // 2022-05-08 12:00 at UTC+8

class KuaiRandTest : public testing::Test {
 protected:
  KuaiRandTest() {
    options_.logs = {directory_.file("log_*.csv")};
    options_.out = directory_.file("dataset");
    options_.writer.parts = 2;
  }
  // One row: times are noon + `after` ms.
  static std::string row(int64_t user, int64_t video, int64_t after,
                         const std::string& actions = "1,0,0,0,0,0,0", const std::string& date = "20220508") {
    return str(user, ",", video, ",", date, ",1200,", noon + after, ",", actions, ",4321,9000,0,0,0,0,3\n");
  }
  void write_log(const std::string& name, const std::string& rows) {
    write_file(directory_.file(name), log_header + rows);
  }
  DumpedDataset import() {
    report_ = import_kuairand(options_);
    return dump(Dataset::open(options_.out));
  }
  std::string failure() {
    const std::string error = user_error([&] { import_kuairand(options_); });
    EXPECT_FALSE(std::filesystem::exists(options_.out)) << "a failed import left a dataset";
    return error;
  }

  TempDirectory directory_;
  KuaiRandOptions options_;
  ImportReport report_;
};

TEST_F(KuaiRandTest, EveryRowIsAnEventAndARequest) {
  write_log("log_a.csv",
            row(7, 100, 2000, "1,0,0,0,0,0,1") + row(7, 101, 1000, "0,1,1,1,1,1,0") + row(8, 100, 0));
  const auto data = import();
  EXPECT_EQ(report_.rows, 3);
  EXPECT_EQ(report_.requests, 3);
  EXPECT_EQ(report_.users, 2);
  EXPECT_THAT(report_.label_rates,
              ElementsAre(2.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3));

  ASSERT_EQ(data.events.at(7).size(), 2U);  // by time, though the file is not
  EXPECT_EQ(data.events.at(7)[0].item, 101);
  EXPECT_EQ(data.events.at(7)[0].ids.at("action"), 2 + 4 + 8 + 16 + 32);
  EXPECT_EQ(data.events.at(7)[1].ids.at("action"), 1 + 64);
  EXPECT_EQ(data.events.at(7)[1].ids.at("tab"), 3);

  const auto& request = data.request(7, noon + 2000);
  EXPECT_EQ(request.day, "2022-05-08");
  EXPECT_EQ(request.ids.at("hour"), 12);
  EXPECT_EQ(request.ids.at("tab"), 3);
  EXPECT_EQ(request.ids.at("is_rand"), 0);
  ASSERT_EQ(request.candidates.size(), 1U);
  EXPECT_EQ(request.candidates[0].item, 100);
  EXPECT_EQ(request.candidates[0].labels.at("is_click"), 1);
  EXPECT_EQ(request.candidates[0].labels.at("is_like"), 0);
  EXPECT_EQ(request.candidates[0].labels.at("long_view"), 1);
  EXPECT_EQ(request.candidates[0].weights.at("play_time_ms"), 4321);
}

TEST_F(KuaiRandTest, EnteringAProfileIsAnActionAndNoLabel) {
  write_log("log_a.csv", str("1,2,20220508,1200,", noon, ",0,0,0,0,0,0,0,0,9000,0,0,1,1,0\n"));
  const auto data = import();
  EXPECT_EQ(data.events.at(1)[0].ids.at("action"), 128);
  EXPECT_EQ(data.requests[0].ids.at("is_rand"), 1);
  EXPECT_EQ(data.requests[0].candidates[0].labels.count("is_profile_enter"), 0U);
}

TEST_F(KuaiRandTest, HistoriesAreStrictlyBeforeTheRequest) {
  write_log("log_a.csv", row(7, 1, 0) + row(7, 2, 0) + row(7, 3, 1));
  const auto data = import();
  for (const auto& request : data.requests) {
    for (const auto& event : request.history) EXPECT_LT(event.time, request.time);
    for (const auto& event : request.later) EXPECT_GE(event.time, request.time);
  }
  EXPECT_EQ(data.request(7, noon).history.size(), 0U);
  EXPECT_EQ(data.request(7, noon + 1).history.size(), 2U);
}

TEST_F(KuaiRandTest, TheDayIsTheColumnAndNotTheTime) {
  write_log("log_a.csv", row(7, 1, 0, "1,0,0,0,0,0,0", "20220507"));
  EXPECT_EQ(import().requests[0].day, "2022-05-07");
}

TEST_F(KuaiRandTest, SeveralFilesInAnyOrderGiveTheSame) {
  write_log("log_standard.csv", row(7, 1, 500) + row(8, 5, 100));
  write_log("log_random.csv", row(7, 2, 100) + row(9, 2, 100));
  options_.logs = {directory_.file("log_standard.csv"), directory_.file("log_r*.csv")};
  const auto first = import();
  options_.logs = {directory_.file("log_*.csv"),
                   directory_.file("log_random.csv")};  // matched twice, read once
  options_.out = directory_.file("again");
  const auto second = import();
  EXPECT_EQ(report_.rows, 4);
  ASSERT_EQ(first.requests.size(), second.requests.size());
  for (size_t i = 0; i < first.requests.size(); ++i) {
    EXPECT_EQ(first.requests[i].user, second.requests[i].user);
    EXPECT_EQ(first.requests[i].candidates[0].item, second.requests[i].candidates[0].item);
    EXPECT_EQ(first.requests[i].history.size(), second.requests[i].history.size());
  }
}

TEST_F(KuaiRandTest, ReadsUserFeatures) {
  write_log("log_a.csv", row(7, 1, 0) + row(8, 1, 0));
  write_file(
      directory_.file("users.csv"),
      str(user_header,
          "7,full_active,0,-124,1,514,500+,150,\"[100,1k)\",0,0,799,730+,1,1,29,949,1.0,0,0,14,135,6,3,0,"
          "0.0,,2.0,0.0,0.0,0.0\r\n"));
  options_.users = directory_.file("users.csv");
  const auto data = import();
  const auto& user = data.users.at(7);
  EXPECT_EQ(user.ids.at("user_active_degree"), hashed_id("full_active"));
  EXPECT_EQ(user.ids.at("is_lowactive_period"), 0);
  EXPECT_EQ(user.ids.at("is_live_streamer"), -1);
  EXPECT_EQ(user.ids.at("fans_user_num_range"), hashed_id("[100,1k)"));
  EXPECT_EQ(user.ids.at("onehot_feat3"), 949);
  EXPECT_EQ(user.ids.at("onehot_feat4"), 1);
  EXPECT_EQ(user.ids.at("onehot_feat13"), -1);
  EXPECT_EQ(user.ids.at("onehot_feat14"), 2);
  EXPECT_FLOAT_EQ(user.reals.at("follow_user_num"), static_cast<float>(std::log1p(514.0)));
  EXPECT_FLOAT_EQ(user.reals.at("friend_user_num"), 0.0F);
  EXPECT_EQ(data.users.at(8).ids.at("user_active_degree"), -1);  // not in the users file
}

TEST_F(KuaiRandTest, ReadsVideoFeatures) {
  write_log("log_a.csv", row(7, 1, 0));
  write_file(
      directory_.file("videos.csv"),
      str(video_header, "1,7349,NORMAL,2022-04-10,LongImport,0.0,87433.0,720.0,1280.0,91556,9.0,\"12,65\"\n",
          "2,7350,AD,2022-04-10,,0.0,,,,-1,,\n"));
  options_.videos = directory_.file("videos.csv");
  const auto data = import();
  EXPECT_EQ(data.items.at(1).ids.at("author"), 7349);
  EXPECT_EQ(data.items.at(1).ids.at("video_type"), hashed_id("NORMAL"));
  EXPECT_EQ(data.items.at(1).ids.at("music_type"), 9);
  EXPECT_THAT(data.items.at(1).lists.at("tag"), ElementsAre(12, 65));
  EXPECT_FLOAT_EQ(data.items.at(1).reals.at("video_duration"), static_cast<float>(std::log1p(87.433)));
  EXPECT_EQ(data.items.at(2).ids.at("upload_type"), -1);
  EXPECT_EQ(data.items.at(2).ids.at("music_id"), -1);
  EXPECT_THAT(data.items.at(2).lists.at("tag"), ElementsAre());
  EXPECT_THAT(data.items.at(2).reals.at("video_duration"), testing::IsNan());
}

TEST_F(KuaiRandTest, RefusesStatisticsOfTheWholeMonth) {
  write_log("log_a.csv", row(7, 1, 0));
  options_.videos = directory_.file("video_features_statistic_pure.csv");
  write_file(options_.videos, "video_id,counts\n1,2\n");
  EXPECT_THAT(failure(), HasSubstr("averages over the whole month"));
  options_.videos = directory_.file("renamed.csv");
  write_file(options_.videos, "video_id,counts,show_cnt\n1,2,3\n");
  EXPECT_THAT(failure(), HasSubstr("averages over the whole month"));
}

TEST_F(KuaiRandTest, NamesAMissingColumn) {
  std::string header = log_header;
  header.replace(header.find("time_ms"), 7, "timestamp_ms");
  write_file(directory_.file("log_a.csv"), header + row(7, 1, 0));
  EXPECT_THAT(failure(), HasSubstr("log_a.csv:1: no column 'time_ms' (nearest: 'timestamp_ms')"));
}

TEST_F(KuaiRandTest, NamesFileLineAndColumnOfAMalformedValue) {
  write_log("log_a.csv", row(7, 1, 0) + row(7, 2, 1, "1,0,yes,0,0,0,0"));
  EXPECT_THAT(failure(), HasSubstr("log_a.csv:3:is_follow: found 'yes', expected an integer"));
  write_log("log_a.csv", row(7, 1, 0, "2,0,0,0,0,0,0"));
  EXPECT_THAT(failure(), HasSubstr("log_a.csv:2:is_click: found '2', expected an integer from 0 to 1"));
  write_log("log_a.csv", row(7, 1, 0, "1,0,0,0,0,0,0", "20220231"));
  EXPECT_THAT(failure(), HasSubstr("log_a.csv:2:date: found '20220231', expected a day"));
  write_log("log_a.csv", row(7, 1, std::numeric_limits<int64_t>::max() - noon));
  EXPECT_THAT(failure(),
              HasSubstr("log_a.csv:2:time_ms: found '9223372036854775807', expected ms since 1970"));
}

TEST_F(KuaiRandTest, ToleratesSoManyBadRows) {
  write_log("log_a.csv", row(7, 1, 0) + "garbage\n" + row(7, 2, 1, "1,0,yes,0,0,0,0") + row(7, 3, 2));
  options_.max_bad_rows = 1;
  EXPECT_THAT(failure(),
              HasSubstr("log_a.csv:4:is_follow: found 'yes', expected an integer (after 1 bad rows"));
  options_.max_bad_rows = 2;
  const auto data = import();
  EXPECT_EQ(report_.rows, 4);
  EXPECT_EQ(report_.bad_rows, 2);
  EXPECT_THAT(report_.bad_examples,
              ElementsAre(HasSubstr("log_a.csv:3: found 1 fields"), HasSubstr("log_a.csv:4:is_follow")));
  EXPECT_EQ(data.requests.size(), 2U);
  EXPECT_EQ(data.events.at(7).size(), 2U);
}

TEST_F(KuaiRandTest, RefusesAPatternWithoutFiles) {
  EXPECT_THAT(failure(), HasSubstr("log_*.csv: found no file of this name or pattern"));
}

TEST_F(KuaiRandTest, AddsADayByItsDate) {
  const int64_t day = 86'400'000;
  write_log("log_a.csv", row(7, 100, 0) + row(8, 101, day, "1,0,0,0,0,0,0", "20220508"));
  import();
  options_.writer.add = true;
  write_log("log_b.csv", row(7, 102, day - 1000, "0,0,0,0,0,0,1", "20220509"));
  const auto data = import();
  EXPECT_THAT(report_.added->days, ElementsAre("2022-05-09"));
  EXPECT_EQ(report_.added->known_requests, 2);
  EXPECT_EQ(report_.added->known_events, 2);
  EXPECT_EQ(report_.added->late_events, 0);
  EXPECT_EQ(data.events.at(8).size(), 1u);
  EXPECT_EQ(data.request(7, noon + day - 1000).history.size(), 1u);
}

}  // namespace
}  // namespace lime
