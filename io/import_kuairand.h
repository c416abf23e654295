// KuaiRand (Pure, 1K, 27K) -> dataset. Every log row becomes an event and a request with one candidate.
//
//   event      item, action (bits: click 1, like 2, follow 4, comment 8, forward 16, hate 32, long_view 64,
//              profile_enter 128), tab
//   request    hour (0..23, UTC+8), tab, is_rand; its day is the column `date`, its time `time_ms`
//   label      is_click, is_like, is_follow, is_comment, is_forward, is_hate, long_view
//   weight     play_time_ms
//   user       ids: user_active_degree, is_lowactive_period, is_live_streamer, is_video_author, *_range,
//              onehot_feat0..17; reals (log1p): follow_user_num, fans_user_num, friend_user_num,
//              register_days
//   item       ids: author, video_type, upload_type, music_id, music_type; any number of: tag;
//              real: video_duration (log1p of seconds)
//
// Ids: integers as they are, floats such as 1.0 as integers, empty or negative (-124) as -1 (missing), any
// other text hashed (io/import_values.h). Rows and files may come in any order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/dataset_writer.h"
#include "io/import_report.h"

namespace lime {

struct KuaiRandOptions {
  std::vector<std::string> logs;  // files or glob patterns of log_*.csv; a file matched twice is read once
  std::string users;              // user_features_*.csv, or "": no user columns
  std::string videos;             // video_features_basic_*.csv, or "": no item columns
  std::string out;                // dataset directory
  std::string name = "kuairand";
  WriterOptions writer;
  int64_t max_bad_rows = 0;  // rows that may be left out, of all files together
};

// Throws UserError: a pattern without files, a missing or renamed column (with the nearest found), a
// malformed value (file:line: column), more bad rows than allowed, video_features_statistic (it is computed
// over the whole month).
ImportReport import_kuairand(const KuaiRandOptions&);

}  // namespace lime
