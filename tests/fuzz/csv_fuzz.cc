// Text as importers read it: rows, quotes, JSON, lists, numbers, ids, days and times. The first byte chooses
// the separator, quotes, a header and what is exploded; the same text read in tiny pieces must give the same
// rows and the same complaints.
#include <algorithm>
#include <cmath>

#include "io/csv_reader.h"
#include "io/dataset.h"
#include "io/import_values.h"
#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {
namespace {

constexpr int64_t hour_ms = 3'600'000;

void check_values(const CsvReader& reader, size_t column) {
  const std::string_view text = reader.text(column);
  require(feature_id(text) >= -1, "a feature's id below -1");
  if (const auto id = entity_id(text)) require(*id >= 0, "a negative id");
  for (const std::string separator : {"|", ",", "::"}) {
    std::vector<int64_t> ids;
    split_ids(text, separator, ids);
    require(std::all_of(ids.begin(), ids.end(), [](int64_t id) { return id >= 0; }),
            "a negative id of a list");
  }
  if (const auto day = read_day(text)) {
    require(read_day(*day) == day, "a day that is no day: ", *day);
    parse_day(*day);
  }
  for (const int64_t zone_ms : {-14 * hour_ms, int64_t{0}, 14 * hour_ms})
    if (const auto time = read_iso8601(text, zone_ms)) parse_day(day_of(*time, zone_ms));
  refusal(reader.path(), [&] { require(std::isfinite(reader.real(column)), "a number that is not finite"); });
  refusal(reader.path(), [&] { reader.integer(column); });
  refusal(reader.path(), [&] { reader.integer(column, 0, 1); });
}

// All rows and complaints.
std::string read_all(const std::string& path, const CsvOptions& options) {
  std::string all;
  const auto refused = refusal(path, [&] {
    CsvReader reader(path, options);
    for (const auto& name : reader.columns()) all += name + "\x1f";
    if (!reader.columns().empty()) refusal(path, [&] { reader.column(reader.columns().back()); });
    for (bool more = true; more;) {
      const auto bad = refusal(path, [&] {
        try {
          more = reader.next();
        } catch (const BadRow&) {
          all += "\x1d";
          throw;
        }
        for (size_t column = 0; more && column < reader.columns().size(); ++column) {
          check_values(reader, column);
          all += str(reader.text(column), "\x1f");
        }
      });
      all += str(reader.line(), "\x1e", bad.value_or(""));
      if (bad && all.find('\x1d') == std::string::npos) break;  // of the file, not of a row
      std::replace(all.begin(), all.end(), '\x1d', '\x1c');
    }
  });
  return all + refused.value_or("");
}

void run(std::string_view bytes) {
  static const std::string separators[] = {",", "\t", "::", "|"};
  Input input(bytes);
  const uint8_t how = input.byte();
  CsvOptions options;
  options.separator = separators[how % 4];
  options.quotes = (how & 4) != 0;
  if (how & 8) options.columns = {"user", "item", "time"};
  if (how & 16) {
    options.explode.columns = {"item"};
    options.explode.separator = std::string(1, (how & 32) ? ',' : '|');
    if (how & 64) options.explode.cut = std::string("-"), options.explode.into = {"id", "click"};
    if (how & 128) options.explode.index = std::string("position");
  } else if (how & 32) {
    options.explode.columns = {"item", "time"};
  }
  const std::string path = scratch_file("log.csv", input.rest());
  const std::string all = read_all(path, options);
  if (all.find('\x1f') == std::string::npos) return;  // no text, which the first block alone says
  options.block_bytes = 16;
  require(read_all(path, options) == all, "read in small pieces, the rows are other ones");
}

std::vector<std::string> seeds() {
  std::vector<std::string> texts;
  texts.push_back(std::string("\x04") +
                  "user,item,time\n1,2,2022-05-08T12:34:56.789+08:00\n\"a \"\"b\"\"\",\"x\ny\",20220508\n");
  texts.push_back(std::string("\x01") + "user\titem\ttime\r\n17\t1.0\t-124\r\n\r\n\t1e9\t1652000000000\r\n");
  texts.push_back(std::string("\x0a") + "1::2::978300760\n1::Drama|Comedy::12,65\n");
  texts.push_back(std::string("\x07") +
                  "\xEF\xBB\xBFuser | item|time\n1|0.5|2022-05-08 12:34Z\n2|\"unclosed|3\n4|5|6\n");
  texts.push_back(std::string("\x0c") +
                  "a,\"b\"x,c\nonly one\n1,2,3,4\n9223372036854775807,1e400,2022-02-30");
  texts.push_back(std::string("\x34") + "user,item,time\n1,2|3|x,5\n4,,6\n5,\"[6, 'a']\",7\n");
  texts.push_back(std::string("\x20") + "user,item,time\n1,2|3,4|5\n1,2|3,4\n1,7,\n1,,\n");
  texts.push_back(std::string("\xd9") + "U1\tN5-1|N-6-0\t2022-05-08\nU2\tN5|N6-1\t1\n");
  texts.push_back(std::string("\x00", 1) +
                  "{\"user\": 1, \"item\": [2, null, \"x\"], \"time\": {\"at\": 1e3, \"zone\": "
                  "null}}\n{\"user\": true}\n{]\n");
  texts.push_back(
      std::string("\xb0") +
      "{\"item\": [{\"id\": 7, \"click\": true}, {\"id\": \"a|b\"}, [1]], \"n\": [[2]]}\n{\"item\": "
      "\"3,4\", \"time\": [1.50]}\n7\n");
  return texts;
}

}  // namespace

const Target csv{"csv", run, seeds};

}  // namespace lime::fuzz
