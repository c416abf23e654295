// Taobao display ads (Ali_Display_Ad_Click, Tianchi data set 56) -> dataset.
//
// raw_sample.csv is what was shown, behavior_log.csv what users did in the shop: views, cart, favourites and
// purchases of a category and a brand, with no item and no ad. So an event here has no item
// (DatasetSchema::event_items), and its `cate` and `brand` are those of an ad's: the same features, and the
// same tables.
//
//   request    rows of a user with the same second and pid, each a candidate: a page view shows several ads.
//              pid, hour (0..23, UTC+8); its day is that of its time, UTC+8
//   candidate  adgroup_id
//   label      click (clk; nonclk must be 1 - clk)
//   event      btag (pv or ipv 1, cart 2, fav 3, buy 4), cate, brand
//   item       ids: cate (cate_id), campaign (campaign_id), customer, brand; real: price (log1p)
//   user       ids: cms_segid, cms_group_id, final_gender_code, age_level, pvalue_level, shopping_level,
//              occupation, new_user_class_level
//
// As published: commas, a header line in each file (that of user_profile ends with a space), times in
// seconds, an empty or NULL field for what is not known (brand, pvalue_level, new_user_class_level);
// 26,557,961 samples of 2017-05-06..05-13, 723,268,134 behaviours of the 22 days until then. Others report of
// the behaviours: a few times that are negative or far in the future, and rows that repeat others to the
// letter (several departments log), which stay: a history is what the log says. Assumed: no other btag than
// these.
//
// Left out and counted: behaviours of users without samples, whom no request asks for; and those outside the
// 22 days that end with the last sample's. Ids are as in import_kuairand.h. Rows and files may come in any
// order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/dataset_writer.h"
#include "io/import_report.h"

namespace lime {

struct TaobaoOptions {
  std::vector<std::string> samples;   // files or glob patterns of raw_sample.csv
  std::vector<std::string> behavior;  // of behavior_log.csv
  std::string ads;                    // ad_feature.csv, or "": no item columns
  std::string users;                  // user_profile.csv, or "": no user columns
  std::string out;                    // dataset directory
  std::string name = "taobao-ad";
  WriterOptions writer;
  int64_t max_bad_rows = 0;  // rows that may be left out, of all files together
};

// Throws UserError as import_kuairand does. Memory: writer.memory_bytes, and about 50 bytes for each user
// with samples. Adding to a dataset: behaviours count as new after the latest that it has, so a user whose
// first samples are added has no history from before.
ImportReport import_taobao(const TaobaoOptions&);

}  // namespace lime
