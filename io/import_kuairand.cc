#include "io/import_kuairand.h"

#include <array>
#include <cmath>
#include <filesystem>
#include <utility>

#include "io/import_rows.h"
#include "io/import_values.h"
#include "io/log_files.h"
#include "runtime/text.h"

namespace lime {
namespace {

struct ActionBit {
  const char* column;
  int64_t bit;
};
constexpr std::array<ActionBit, 8> action_bits = {{{"is_click", 1},
                                                   {"is_like", 2},
                                                   {"is_follow", 4},
                                                   {"is_comment", 8},
                                                   {"is_forward", 16},
                                                   {"is_hate", 32},
                                                   {"long_view", 64},
                                                   {"is_profile_enter", 128}}};
constexpr size_t labels = 7;  // the first ones: entering a profile is an action, not a label

constexpr std::array user_id_columns = {
    "user_active_degree",    "is_lowactive_period", "is_live_streamer",      "is_video_author",
    "follow_user_num_range", "fans_user_num_range", "friend_user_num_range", "register_days_range",
    "onehot_feat0",          "onehot_feat1",        "onehot_feat2",          "onehot_feat3",
    "onehot_feat4",          "onehot_feat5",        "onehot_feat6",          "onehot_feat7",
    "onehot_feat8",          "onehot_feat9",        "onehot_feat10",         "onehot_feat11",
    "onehot_feat12",         "onehot_feat13",       "onehot_feat14",         "onehot_feat15",
    "onehot_feat16",         "onehot_feat17"};
constexpr std::array user_real_columns = {"follow_user_num", "fans_user_num", "friend_user_num",
                                          "register_days"};

struct NamedColumn {
  const char* name;    // in the dataset
  const char* column;  // in the file
};
constexpr std::array<NamedColumn, 5> item_id_columns = {{{"author", "author_id"},
                                                         {"video_type", "video_type"},
                                                         {"upload_type", "upload_type"},
                                                         {"music_id", "music_id"},
                                                         {"music_type", "music_type"}}};

DatasetSchema make_schema(const KuaiRandOptions& options) {
  DatasetSchema schema;
  schema.name = options.name;
  schema.source = "kuairand";
  schema.time_zone = "+08:00";
  auto column = [&](const char* name, ColumnGroup group, ColumnKind kind) {
    schema.columns.push_back({name, group, kind});
  };
  column("action", ColumnGroup::event, ColumnKind::id);
  column("tab", ColumnGroup::event, ColumnKind::id);
  for (const char* name : {"hour", "tab", "is_rand"}) column(name, ColumnGroup::request, ColumnKind::id);
  if (!options.users.empty()) {
    for (const char* name : user_id_columns) column(name, ColumnGroup::user, ColumnKind::id);
    for (const char* name : user_real_columns) column(name, ColumnGroup::user, ColumnKind::real);
  }
  if (!options.videos.empty()) {
    for (const auto& named : item_id_columns) column(named.name, ColumnGroup::item, ColumnKind::id);
    column("tag", ColumnGroup::item, ColumnKind::ids);
    column("video_duration", ColumnGroup::item, ColumnKind::real);
  }
  for (size_t k = 0; k < labels; ++k) schema.labels.emplace_back(action_bits[k].column);
  schema.weights = {"play_time_ms"};
  return schema;
}

// 0 for a pipe.
double stored_bytes(const std::string& path) {
  std::error_code none;
  const auto bytes = std::filesystem::file_size(path, none);
  return none ? 0.0 : static_cast<double>(bytes);
}

// log1p of a count; empty or negative is unknown.
float log1p_count(const CsvReader& reader, size_t column, double scale) {
  if (reader.text(column).empty()) return missing_number;
  const double value = reader.real(column);
  return value >= 0 ? static_cast<float>(std::log1p(value * scale)) : missing_number;
}

class Importer {
 public:
  explicit Importer(const KuaiRandOptions& options)
      : options_(options),
        logs_(expand_patterns(options.logs)),
        writer_(options.out, make_schema(options), options.writer),
        bad_(options.max_bad_rows, report_),
        means_(labels) {}

  ImportReport run() {
    double total = 1, done = 0;
    for (const auto& path : logs_) total += stored_bytes(path);
    if (!options_.users.empty()) read_users();
    if (!options_.videos.empty()) read_videos();
    for (const auto& path : logs_) {
      read_log(path, done, total);
      done += stored_bytes(path);
    }
    finish_import(writer_, means_, joined(options_.logs), report_);
    return std::move(report_);
  }

 private:
  void progress(const char* phase, double fraction) const {
    if (options_.writer.progress) options_.writer.progress(phase, fraction);
  }

  void read_users() {
    CsvReader reader(options_.users);
    const size_t user = reader.column("user_id");
    std::vector<size_t> ids, reals;
    for (const char* name : user_id_columns) ids.push_back(reader.column(name));
    for (const char* name : user_real_columns) reals.push_back(reader.column(name));
    RowValues values;
    values.ids.resize(ids.size());
    values.reals.resize(reals.size());
    for_each_row(reader, bad_, report_, [&] {
      for (size_t k = 0; k < ids.size(); ++k) values.ids[k] = feature_id(reader.text(ids[k]));
      for (size_t k = 0; k < reals.size(); ++k) values.reals[k] = log1p_count(reader, reals[k], 1.0);
      writer_.add_user(reader.integer(user, 0), values, reader.place());
    });
  }

  void read_videos() {
    CsvReader reader(options_.videos);
    if (options_.videos.find("video_features_statistic") != std::string::npos ||
        reader.has_column("show_cnt"))
      throw UserError(
          str(options_.videos,
              ": found video_features_statistic, expected video_features_basic: the "
              "statistics are averages over the whole month, so they tell what users did after a request"));
    const size_t video = reader.column("video_id"), tag = reader.column("tag"),
                 duration = reader.column("video_duration");
    std::vector<size_t> ids;
    for (const auto& named : item_id_columns) ids.push_back(reader.column(named.column));
    RowValues values;
    values.ids.resize(ids.size());
    values.lists.resize(1);
    values.reals.resize(1);
    for_each_row(reader, bad_, report_, [&] {
      for (size_t k = 0; k < ids.size(); ++k) values.ids[k] = feature_id(reader.text(ids[k]));
      split_ids(reader.text(tag), ",", values.lists[0]);
      values.reals[0] = log1p_count(reader, duration, 1e-3);
      writer_.add_item(reader.integer(video, 0), values, reader.place());
      if (reader.rows() % 65536 == 0) progress("read videos", reader.fraction());
    });
  }

  void read_log(const std::string& path, double done, double total) {
    CsvReader reader(path);
    const size_t user = reader.column("user_id"), video = reader.column("video_id"),
                 date = reader.column("date"), hourmin = reader.column("hourmin"),
                 time = reader.column("time_ms"), play_time = reader.column("play_time_ms"),
                 is_rand = reader.column("is_rand"), tab = reader.column("tab");
    std::array<size_t, action_bits.size()> actions{};
    for (size_t k = 0; k < actions.size(); ++k) actions[k] = reader.column(action_bits[k].column);

    EventRow event;
    event.values.ids.resize(2);
    RequestRow request;
    request.values.ids.resize(3);
    request.candidates.resize(1);
    auto& candidate = request.candidates[0];
    candidate.labels.resize(labels);
    candidate.weights.resize(1);
    const double bytes = stored_bytes(path);
    for_each_row(reader, bad_, report_, [&] {
      int64_t bits = 0;
      for (size_t k = 0; k < actions.size(); ++k) {
        const bool set = reader.integer(actions[k], 0, 1) != 0;
        bits |= set ? action_bits[k].bit : 0;
        if (k < labels) candidate.labels[k] = set ? 1.0F : 0.0F;
      }
      event.user = request.user = reader.integer(user, 0);
      event.item = candidate.item = reader.integer(video, 0);
      event.time_ms = request.time_ms = reader.integer(time, 0);
      if (!has_day(event.time_ms, 0)) reader.reject(time, "ms since 1970, up to the year 9999");
      auto day = read_day(reader.text(date));
      if (!day) reader.reject(date, "a day such as 20220425");
      request.day = std::move(*day);
      const int64_t tab_id = reader.integer(tab, 0);
      event.values.ids = {bits, tab_id};
      request.values.ids = {reader.integer(hourmin, 0, 2359) / 100, tab_id, reader.integer(is_rand, 0, 1)};
      candidate.weights[0] = static_cast<float>(reader.integer(play_time, 0));
      event.day = request.day;
      writer_.add_event(event);
      if (writer_.add_request(request)) means_.add(request);
      if (reader.rows() % 65536 == 0) progress("read", (done + bytes * reader.fraction()) / total);
    });
  }

  const KuaiRandOptions& options_;
  std::vector<std::string> logs_;
  DatasetWriter writer_;
  ImportReport report_;
  BadRows bad_;
  LabelMeans means_;
};

}  // namespace

ImportReport import_kuairand(const KuaiRandOptions& options) { return Importer(options).run(); }

}  // namespace lime
