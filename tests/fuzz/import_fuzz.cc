// Whole imports of small logs. The first byte chooses the importer and its options; the files follow one
// another, with lines "%%%" between them. What was imported must open, verify and be read to its end.
#include <array>
#include <cmath>
#include <filesystem>

#include "io/dataset.h"
#include "io/feature_profile.h"
#include "io/import_csv.h"
#include "io/import_kuairand.h"
#include "io/import_movielens.h"
#include "io/import_taobao.h"
#include "io/inspect.h"
#include "io/reader.h"
#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view file_end = "%%%\n";
constexpr int64_t bad_rows = 20;

constexpr const char* shop = R"(
time_zone: "+08:00"
impressions:
  files: log_0
  user: user
  item: item
  time: {column: time, unit: s}
  request: session
  labels: {click: click, good: {column: rating, at_least: 4}}
  weights: {dwell: dwell}
  request_features: {hour: {kind: id}}
  candidate_features: {price: {kind: real, log1p: true}, tags: {kind: ids}}
  event: {when: {column: click, equals: "1"}, features: {hour: {kind: id}}}
users: {files: log_1, user: user, features: {city: {kind: id}, age: {kind: real}}}
items: {files: log_2, item: item, features: {topics: {kind: ids, separator: ";"}}}
)";
constexpr const char* stream = R"(
impressions:
  files: log_0
  columns: [user, item, time, day, click]
  user: user
  item: item
  time: {column: time, unit: iso8601}
  day: day
  labels: {click: click}
  event: none
events: {files: log_1, user: user, time: {column: time, unit: us}, features: {cate: {kind: id}}}
)";

// A row each request, and each user.
constexpr const char* lists = R"(
impressions:
  files: log_0
  columns: [user, time, shown, liked]
  explode: {columns: shown, separator: " ", cut: "-", into: [item, click], index: place}
  user: user
  item: item
  time: {column: time, format: "%m/%d/%Y %I:%M %p"}
  labels: {click: click, like: {column: liked, contains: item}}
  candidate_features: {place: {kind: id}}
  event: {when: {column: click, at_least: 1}}
events: {files: log_1, explode: [items, times], user: user, item: items, time: {column: times, unit: ms}}
)";

WriterOptions writer(bool add) {
  WriterOptions options;
  options.parts = 2;
  options.memory_bytes = 1 << 20;
  options.compression = 0;
  options.add = add;
  return options;
}

std::string file(const std::string& name) { return scratch() + "/import/" + name; }

void import_files(uint8_t how, bool add) {
  const std::string out = file("dataset");
  const auto optional = [&](const char* name) { return how & 8 ? file(name) : std::string(); };
  if (how % 5 == 0) {
    import_csv({file("shop.yaml"), out, writer(add), bad_rows});
  } else if (how % 5 == 1) {
    import_csv({file((how & 16) ? "lists.yaml" : "stream.yaml"), out, writer(add), bad_rows});
  } else if (how % 5 == 2) {
    import_kuairand(
        {{file("log_0")}, optional("log_1"), optional("log_2"), out, "kuairand", writer(add), bad_rows});
  } else if (how % 5 == 3) {
    MovieLensOptions options;
    options.ratings = file("log_0"), options.users = optional("log_1"), options.movies = optional("log_2");
    options.out = out;
    options.writer = writer(add), options.max_bad_rows = bad_rows;
    options.period = how & 16 ? "month" : how & 32 ? "year" : "day";
    options.time_zone = how & 64 ? "-12:00" : "+14:00";
    import_movielens(options);
  } else {
    import_taobao({{file("log_0")},
                   {file("log_1")},
                   optional("log_2"),
                   optional("log_3"),
                   out,
                   "taobao",
                   writer(add),
                   bad_rows});
  }
}

// Everything, as training and verifying read it.
void read_back() {
  const auto refused = refusal("", [&] {
    const Dataset dataset = Dataset::open(file("dataset"));
    inspect(dataset, true);
    ReaderOptions options;
    for (const auto& day : dataset.days()) options.days.push_back(day.day);
    const DatasetProfile profile = profile_features(dataset, options.days);
    for (const auto& feature : profile.features) {
      require(feature.missing <= feature.rows && feature.distinct <= feature.values, feature.name);
      for (const double auc : feature.auc)
        require(std::isnan(auc) || (auc >= 0 && auc <= 1), feature.name, " has AUC ", auc);
    }
    for (const auto& label : profile.labels)
      require(label.positives + label.negatives == profile.candidates, label.name);
    options.virtual_shards = 2;
    options.requests = 8;
    options.spec.age_buckets = 16;
    options.spec.history = {"age"};
    if (dataset.schema().event_items) options.spec.history.push_back("item");
    options.spec.candidate = {"item"};
    options.spec.user = {"user"};
    options.spec.tasks = dataset.schema().labels;
    options.spec.task_weights.assign(options.spec.tasks.size(), 1.0);
    options.spec.sample_weights.assign(options.spec.tasks.size(), "");
    BatchReader reader(dataset, options);
    while (!reader.next().ended()) continue;
  });
  require(!refused, "was imported, and is refused then: ", refused.value_or(""));
}

void run(std::string_view bytes) {
  Input input(bytes);
  const uint8_t how = input.byte();
  const bool twice = input.byte() % 4 == 1;  // and its second half is added
  fs::remove_all(file(""));
  fs::create_directories(file(""));
  scratch_file("import/shop.yaml", shop);
  scratch_file("import/stream.yaml", stream);
  scratch_file("import/lists.yaml", lists);
  for (bool add : {false, true}) {
    if (add && !twice) break;
    for (int f = 0; f < 4; ++f) scratch_file(str("import/log_", f), input.until(file_end));
    const auto refused = refusal("", [&] { import_files(how, add); });
    if (refused) check_message(*refused, file(""));
    if (refused && !add) {
      require(!fs::exists(file("dataset")), "refused, and left something behind");
      return;
    }
    read_back();
  }
}

std::string joined(std::initializer_list<std::string> files) {
  std::string text;
  for (const auto& name : files) text += name + std::string(file_end);
  return text;
}

std::string begins(uint8_t how, bool twice) {
  return std::string{static_cast<char>(how), static_cast<char>(twice)};
}

std::vector<std::string> seeds() {
  const std::string log = "user,item,time,session,click,rating,dwell,hour,price,tags\n",
                    users = "user,city,age\nann,berlin,30\n7,,\n", items = "item,topics\n17,1;2;3\nx,\n";
  const std::string kuairand =
      "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_"
      "view,"
      "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n";
  const std::string videos =
      "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,server_"
      "height,"
      "music_id,music_type,tag\n5,3,NORMAL,2022-04-01,ShortImport,0,9000,720,1280,33,9,\"12,65\"\n";
  std::string people =
      "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,follow_user_num,"
      "follow_user_num_range,"
      "fans_user_num,fans_user_num_range,friend_user_num,friend_user_num_range,register_days,register_days_"
      "range";
  std::string person = "\n7,high_active,0,0,1,5,\"(0,10]\",3,\"[1,10)\",0,0,107,61-90";
  for (int i = 0; i < 18; ++i) people += str(",onehot_feat", i), person += str(",", i);
  people += person + "\n";
  const std::string samples = "user,time_stamp,adgroup_id,pid,nonclk,clk\n",
                    behavior = "user,time_stamp,btag,cate,brand\n";
  return {
      begins(16, false) + joined({"U1,11/15/2019 1:22 PM,N5-1 N-6-0 7-1,7|N5\nU2,11/16/2019 1:00 "
                                  "AM,N5-0,\nU1,11/17/2019 1:22 AM,,x\n",
                                  "user,items,times\nU1,7|N5,1573820000000|1573820000001\nU3,,\n8,1,\n"}),
      begins(16, true) +
          joined(
              {"{\"user\": \"U1\", \"time\": \"11/15/2019 1:22 PM\", \"shown\": \"N5-1 N6-0\", \"liked\": "
               "[7, \"N5\"]}\n",
               "{\"user\": 8, \"items\": [1, null, 3], \"times\": [5, 6, 7]}\n", "", "",
               "{\"user\": \"U1\", \"time\": \"11/16/2019 1:22 AM\", \"shown\": \"N5-1\"}\n{\"user\": 9}\n",
               "{\"user\": 8, \"items\": [1], \"times\": [1573820000000]}\n"}),
      begins(0, false) +
          joined({log + "ann,17,1651982400,s1,1,5,100,12,9.5,1|2\nann,18,1651982400,s1,0,1,,12,3,\n"
                        "7,17,1651990000,s2,0,,0,14,,x\n",
                  users, items}),
      begins(0, true) +
          joined({log + "ann,17,1651982400,s1,1,5,100,12,9.5,1|2\n", users, items, "",
                  log + "ann,18,1652082400,s3,1,5,100,12,9.5,1\nbob,2,1652082401,s4,0,2,1,1,1,\n", users,
                  items}),
      begins(1, false) +
          joined({"ann,17,2022-05-08T12:34:56.789+08:00,20220508,1\nann,3,2022-05-09 00:00Z,2022-05-09,0\n",
                  "user,time,cate\nann,1651939199000000,4\nann,1651939199.5e6,5\n"}),
      begins(2, false) +
          joined({kuairand + "7,5,20220508,1200,1651982400000,1,0,0,0,0,0,0,4321,9000,0,0,0,0,3\n"
                             "7,6,20220508,1300,1651986000000,0,1,0,0,0,0,1,99,9000,0,0,1,1,3\n"}),
      begins(12, true) +
          joined({kuairand + "7,5,20220508,1200,1651982400000,1,0,0,0,0,0,0,4321,9000,0,0,0,0,3\n", people,
                  videos, "",
                  kuairand + "7,5,20220509,0001,1652025660000,1,0,0,0,0,0,0,4321,9000,0,0,0,0,3\n"}),
      begins(3, false) +
          joined({"userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,29,4,1260759179\n"}),
      begins(8, false) +
          joined({"1::1193::5::978300760\n2::661::3::978302109\n",
                  "1::F::1::10::48067\n2::M::56::16::70072\n",
                  "1193::One Flew Over (1975)::Drama\n661::James (1996)::Animation|Musical\n"}),
      begins(3 + 16, false) + joined({"196\t242\t3\t881250949\n186\t302\t3\t891717742\n"}),
      begins(4, false) +
          joined(
              {samples + "7,1494604800,5,430548_1007,1,0\n7,1494604800,6,430548_1007,0,1\n",
               behavior + "7,1494604700,pv,6250,91286\n7,1494604701,buy,6250,NULL\n8,1494604701,fav,1,2\n"}),
      begins(9, false) +
          joined({samples + "7,1494604800,5,430548_1007,1,0\n", behavior + "7,1494604700,cart,6250,91286\n",
                  "adgroup_id,cate_id,campaign_id,customer,brand,price\n5,6250,1,2,NULL,19.9\n",
                  "userid,cms_segid,cms_group_id,final_gender_code,age_level,pvalue_level,shopping_level,"
                  "occupation,new_user_class_level \n7,0,5,2,5,,3,0,3\n"}),
  };
}

}  // namespace

const Target import{"import", run, seeds};

}  // namespace lime::fuzz
