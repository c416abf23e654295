#include "io/import_movielens.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/import_rows.h"
#include "io/import_values.h"

namespace lime {
namespace {

// How a release writes one of its files: files without a header line name their columns here.
struct Form {
  std::string separator;
  bool header = false;
  bool quotes = false;
};

// Told from the first line: "1::31::2.5::..." (1M), "1,31,..." with a header (20M and later), "196\t242\t..."
// (100K ratings), "1|24|M|..." (100K users and films).
Form form_of(const std::string& path) {
  TextFile file(path);
  std::string line(1024, '\0');
  size_t length = 0;
  while (const size_t got = length < line.size() ? file.read(line.data() + length, line.size() - length) : 0)
    length += got;
  line.resize(std::min(length, line.find('\n')));
  if (line.find("::") != std::string::npos) return {"::", false, false};
  if (line.find('\t') != std::string::npos) return {"\t", false, false};
  if (line.find('|') != std::string::npos && line.find(',') > line.find('|')) return {"|", false, false};
  if (line.find(',') != std::string::npos) return {",", true, true};
  throw UserError(str(path, ":1: found '", line.substr(0, 60),
                      "', expected columns separated by '::', a tab, '|' or ','"));
}

CsvReader open_form(const std::string& path, const Form& form, std::vector<std::string> columns) {
  CsvOptions options;
  options.separator = form.separator;
  options.quotes = form.quotes;
  if (!form.header) options.columns = std::move(columns);
  return CsvReader(path, options);
}

DatasetSchema make_schema(const MovieLensOptions& options) {
  DatasetSchema schema;
  schema.name = options.name;
  schema.source = str("movielens threshold=", options.threshold);
  schema.time_zone = options.time_zone;
  schema.columns.push_back({"rating", ColumnGroup::event, ColumnKind::id});
  if (!options.users.empty())
    for (const char* name : {"gender", "age_group", "occupation"})  // `age` is an event's
      schema.columns.push_back({name, ColumnGroup::user, ColumnKind::id});
  if (!options.movies.empty()) schema.columns.push_back({"genres", ColumnGroup::item, ColumnKind::ids});
  schema.labels = {"liked"};
  schema.weights = {"rating"};
  return schema;
}

// How much of "2001-05-08" a period keeps; the rest becomes that of the first day of a year.
size_t kept_of_day(const std::string& period) {
  if (period == "day") return 10;
  if (period == "month") return 7;
  if (period == "year") return 4;
  throw UserError(str("movielens: period: found '", period, "', expected day, month or year"));
}

class Importer {
 public:
  explicit Importer(const MovieLensOptions& options)
      : options_(options),
        zone_ms_(parse_time_zone(options.time_zone) * 60'000),
        kept_(kept_of_day(options.period)),
        writer_(options.out, make_schema(options), options.writer),
        bad_(options.max_bad_rows, report_),
        means_(1) {}

  ImportReport run() {
    if (!options_.users.empty()) read_users();
    if (!options_.movies.empty()) read_movies();
    read_ratings();
    finish_import(writer_, means_, options_.ratings, report_);
    return std::move(report_);
  }

 private:
  void read_ratings() {
    CsvReader reader =
        open_form(options_.ratings, form_of(options_.ratings), {"userId", "movieId", "rating", "timestamp"});
    const size_t user = reader.column("userId"), movie = reader.column("movieId"),
                 rated = reader.column("rating"), time = reader.column("timestamp");
    EventRow event;
    event.values.ids.resize(1);
    RequestRow request;
    request.candidates.resize(1);
    auto& candidate = request.candidates[0];
    candidate.labels.resize(1);
    candidate.weights.resize(1);
    for_each_row(reader, bad_, report_, [&] {
      const double rating = reader.real(rated);
      if (rating < 0 || rating > 100) reader.reject(rated, "a rating from 0 to 100");
      event.user = request.user = reader.integer(user, 0);
      event.item = candidate.item = reader.integer(movie, 0);
      event.time_ms = request.time_ms = reader.integer(time, 0, max_seconds) * 1000;
      if (!has_day(event.time_ms, zone_ms_)) reader.reject(time, "s since 1970, up to the year 9999");
      event.values.ids[0] = std::llround(2 * rating);
      request.day = day_of(request.time_ms, zone_ms_);
      request.day.replace(kept_, std::string::npos, first_day + kept_);
      candidate.labels[0] = rating >= options_.threshold ? 1.0F : 0.0F;
      candidate.weights[0] = static_cast<float>(rating);
      event.day = request.day;
      writer_.add_event(event);
      if (writer_.add_request(request)) means_.add(request);
      if (reader.rows() % 65536 == 0 && options_.writer.progress)
        options_.writer.progress("read", reader.fraction());
    });
  }

  void read_users() {
    const Form form = form_of(options_.users);
    // 100K: id|age|gender|occupation|zip; 1M: id::gender::age::occupation::zip.
    CsvReader reader =
        form.separator == "|"
            ? open_form(options_.users, form, {"userId", "age", "gender", "occupation", "zip"})
            : open_form(options_.users, form, {"userId", "gender", "age", "occupation", "zip"});
    const size_t user = reader.column("userId"), gender = reader.column("gender"), age = reader.column("age"),
                 occupation = reader.column("occupation");
    RowValues values;
    for_each_row(reader, bad_, report_, [&] {
      values.ids = {feature_id(reader.text(gender)), feature_id(reader.text(age)),
                    feature_id(reader.text(occupation))};
      writer_.add_user(reader.integer(user, 0), values, reader.place());
    });
  }

  void read_movies() {
    const Form form = form_of(options_.movies);
    RowValues values;
    values.lists.resize(1);
    auto& genres = values.lists[0];
    if (form.separator == "|") {  // 100K: five columns, then one flag for each genre
      std::vector<std::string> columns = {"movieId", "title", "release", "video_release", "url"};
      for (int g = 0; g < genre_flags; ++g) columns.push_back(str("genre_", g));
      CsvReader reader = open_form(options_.movies, form, columns);
      for_each_row(reader, bad_, report_, [&] {
        genres.clear();
        for (size_t g = 0; g < genre_flags; ++g)
          if (reader.integer(columns.size() - genre_flags + g, 0, 1) == 1)
            genres.push_back(static_cast<int64_t>(g));
        writer_.add_item(reader.integer(0, 0), values, reader.place());
      });
      return;
    }
    CsvReader reader = open_form(options_.movies, form, {"movieId", "title", "genres"});
    const size_t movie = reader.column("movieId"), names = reader.column("genres");
    for_each_row(reader, bad_, report_, [&] {
      if (reader.text(names) == "(no genres listed)") {
        genres.clear();
      } else {
        split_ids(reader.text(names), "|", genres);
      }
      writer_.add_item(reader.integer(movie, 0), values, reader.place());
    });
  }

  static constexpr const char* first_day = "0000-01-01";
  static constexpr int genre_flags = 19;
  static constexpr int64_t max_seconds = int64_t{1} << 40;  // so that milliseconds do not overflow

  const MovieLensOptions& options_;
  int64_t zone_ms_;
  size_t kept_;
  DatasetWriter writer_;
  ImportReport report_;
  BadRows bad_;
  LabelMeans means_;
};

}  // namespace

ImportReport import_movielens(const MovieLensOptions& options) { return Importer(options).run(); }

}  // namespace lime
