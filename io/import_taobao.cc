#include "io/import_taobao.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "io/import_rows.h"
#include "io/import_values.h"
#include "io/log_files.h"
#include "io/request_grouper.h"
#include "io/user_index.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int64_t days_of_behavior = 22;
constexpr int64_t day_s = 86400, zone_s = int64_t{8} * 3600;
constexpr int64_t most_s = 253402271999;  // the last second of the year 9999 at UTC+8
constexpr int64_t grouping_share = 4;     // of the memory: requests are gathered beside the writer

constexpr std::array user_columns = {"cms_segid",  "cms_group_id",        "final_gender_code",
                                     "age_level",  "pvalue_level",        "shopping_level",
                                     "occupation", "new_user_class_level"};

struct NamedColumn {
  const char* name;    // in the dataset
  const char* column;  // in the file
};
constexpr std::array<NamedColumn, 4> ad_columns = {
    {{"cate", "cate_id"}, {"campaign", "campaign_id"}, {"customer", "customer"}, {"brand", "brand"}}};

DatasetSchema make_schema(const TaobaoOptions& options) {
  DatasetSchema schema;
  schema.name = options.name;
  schema.source = "taobao";
  schema.time_zone = "+08:00";
  schema.event_items = false;
  auto column = [&](const char* name, ColumnGroup group, ColumnKind kind) {
    schema.columns.push_back({name, group, kind});
  };
  for (const char* name : {"btag", "cate", "brand"}) column(name, ColumnGroup::event, ColumnKind::id);
  for (const char* name : {"pid", "hour"}) column(name, ColumnGroup::request, ColumnKind::id);
  if (!options.users.empty())
    for (const char* name : user_columns) column(name, ColumnGroup::user, ColumnKind::id);
  if (!options.ads.empty()) {
    for (const auto& named : ad_columns) column(named.name, ColumnGroup::item, ColumnKind::id);
    column("price", ColumnGroup::item, ColumnKind::real);
  }
  schema.labels = {"click"};
  return schema;
}

// The requests are gathered within the same memory.
WriterOptions beside_grouping(WriterOptions options) {
  options.memory_bytes -= options.memory_bytes / grouping_share;
  return options;
}

bool is_unknown(std::string_view text) { return text.empty() || text == "NULL"; }

int64_t known_id(std::string_view text) { return is_unknown(text) ? -1 : feature_id(text); }

int64_t read_btag(const CsvReader& reader, size_t column) {
  const std::string_view text = reader.text(column);
  if (text == "pv" || text == "ipv") return 1;
  if (text == "cart") return 2;
  if (text == "fav") return 3;
  if (text == "buy") return 4;
  reader.reject(column, "pv, cart, fav or buy");
}

class Importer {
 public:
  explicit Importer(const TaobaoOptions& options)
      : options_(options),
        schema_(make_schema(options)),
        samples_(expand_patterns(options.samples)),
        behavior_(expand_patterns(options.behavior)),
        writer_(options.out, schema_, beside_grouping(options.writer)),
        bad_(options.max_bad_rows, report_),
        means_(schema_.labels.size()) {}

  ImportReport run() {
    if (writer_.adds()) know_users();
    if (!options_.ads.empty()) read_ads();
    if (!options_.users.empty()) read_profiles();
    read_samples();
    if (last_day_)
      for (const auto& path : behavior_) read_behavior(path);
    tell_left_out();
    finish_import(writer_, means_, joined(options_.samples), report_);
    return std::move(report_);
  }

 private:
  void progress(const CsvReader& reader) const {
    if (reader.rows() % 65536 == 0 && options_.writer.progress)
      options_.writer.progress("read " + std::filesystem::path(reader.path()).filename().string(),
                               reader.fraction());
  }

  // Users of the dataset that is added to: some may have no sample among those that are added.
  void know_users() {
    const Dataset before = Dataset::open(options_.out);
    UserIndexReader index(before.index_path(), before.users());
    while (index.next()) users_.insert(index.entry().id);
  }

  void read_ads() {
    CsvReader reader(options_.ads);
    const size_t ad = reader.column("adgroup_id"), price = reader.column("price");
    std::array<size_t, ad_columns.size()> ids{};
    for (size_t k = 0; k < ids.size(); ++k) ids[k] = reader.column(ad_columns[k].column);
    RowValues values;
    values.ids.resize(ids.size());
    values.reals.resize(1);
    for_each_row(reader, bad_, report_, [&] {
      for (size_t k = 0; k < ids.size(); ++k) values.ids[k] = known_id(reader.text(ids[k]));
      const double found = is_unknown(reader.text(price)) ? missing_number : reader.real(price);
      if (found < 0) reader.reject(price, "a price of at least 0");
      values.reals[0] = static_cast<float>(std::log1p(found));
      writer_.add_item(reader.integer(ad, 0), values, reader.place());
    });
  }

  void read_profiles() {
    CsvReader reader(options_.users);
    const size_t user = reader.column("userid");
    std::array<size_t, user_columns.size()> ids{};
    for (size_t k = 0; k < ids.size(); ++k) ids[k] = reader.column(user_columns[k]);
    RowValues values;
    values.ids.resize(ids.size());
    for_each_row(reader, bad_, report_, [&] {
      for (size_t k = 0; k < ids.size(); ++k) values.ids[k] = known_id(reader.text(ids[k]));
      writer_.add_user(reader.integer(user, 0), values, reader.place());
    });
  }

  void read_samples() {
    RequestGrouper requests(schema_, writer_.scratch(), options_.writer.memory_bytes / grouping_share,
                            [](int64_t time_s, int64_t) { return epoch_day(time_s * 1000, zone_s * 1000); });
    for (const auto& path : samples_) read_samples(path, requests);
    int64_t done = 0;
    requests.finish([&](const RequestRow& request, double share) {
      if (writer_.add_request(request)) means_.add(request);
      if (++done % 65536 == 0 && options_.writer.progress) options_.writer.progress("requests", share);
    });
  }

  void read_samples(const std::string& path, RequestGrouper& requests) {
    CsvReader reader(path);
    const size_t user = reader.column("user"), time = reader.column("time_stamp"),
                 ad = reader.column("adgroup_id"), pid = reader.column("pid"),
                 nonclk = reader.column("nonclk"), clk = reader.column("clk");
    RequestRow request;
    request.values.ids.resize(2);
    request.candidates.resize(1);
    auto& candidate = request.candidates[0];
    candidate.labels.resize(1);
    for_each_row(reader, bad_, report_, [&] {
      const int64_t time_s = reader.integer(time, 0, most_s), click = reader.integer(clk, 0, 1),
                    place = known_id(reader.text(pid));
      if (reader.integer(nonclk, 0, 1) == click) reader.reject(nonclk, str(1 - click, ", as clk is ", click));
      request.user = reader.integer(user, 0);
      request.time_ms = time_s * 1000;
      request.values.ids = {place, (time_s + zone_s) % day_s / 3600};
      candidate.item = reader.integer(ad, 0);
      candidate.labels[0] = static_cast<float>(click);
      requests.add(request, time_s, place);
      users_.insert(request.user);
      last_day_ = std::max(last_day_.value_or(0), (time_s + zone_s) / day_s);
      progress(reader);
    });
  }

  void read_behavior(const std::string& path) {
    CsvReader reader(path);
    const size_t user = reader.column("user"), time = reader.column("time_stamp"),
                 btag = reader.column("btag"), cate = reader.column("cate"), brand = reader.column("brand");
    const int64_t end_s = (*last_day_ + 1) * day_s - zone_s, begin_s = end_s - days_of_behavior * day_s;
    EventRow event;
    event.item = -1;
    event.values.ids.resize(3);
    int64_t last_user = -1;  // a log has many rows of a user one after the other
    for_each_row(reader, bad_, report_, [&] {
      event.user = reader.integer(user, 0);
      const int64_t time_s = reader.integer(time);
      event.values.ids = {read_btag(reader, btag), known_id(reader.text(cate)), known_id(reader.text(brand))};
      progress(reader);
      if (time_s < begin_s || time_s >= end_s) {
        ++outside_;
        return;
      }
      if (event.user != last_user) {
        if (!users_.contains(event.user)) {
          ++of_strangers_;
          return;
        }
        last_user = event.user;
      }
      event.time_ms = time_s * 1000;
      writer_.add_event(event);
    });
  }

  void tell_left_out() {
    if (of_strangers_ > 0)
      report_.left_out.push_back(str(grouped(of_strangers_), " behaviours of users without samples"));
    if (outside_ > 0)
      report_.left_out.push_back(str(grouped(outside_), " behaviours outside the ", days_of_behavior,
                                     " days ", format_day(*last_day_ - days_of_behavior + 1), "..",
                                     format_day(*last_day_), ", which end with the last sample's"));
  }

  const TaobaoOptions& options_;
  const DatasetSchema schema_;
  std::vector<std::string> samples_, behavior_;
  DatasetWriter writer_;
  ImportReport report_;
  BadRows bad_;
  LabelMeans means_;
  std::unordered_set<int64_t> users_;  // with samples
  std::optional<int64_t> last_day_;    // of the samples, since epoch at UTC+8
  int64_t of_strangers_ = 0, outside_ = 0;
};

}  // namespace

ImportReport import_taobao(const TaobaoOptions& options) { return Importer(options).run(); }

}  // namespace lime
