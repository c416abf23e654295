// An import's mapping (YAML).
#include "io/import_csv_mapping.h"
#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {
namespace {

void run(std::string_view text) {
  const std::string path = scratch_file("mapping.yaml", text);
  std::optional<CsvMapping> mapping;
  refusal(path, [&] { mapping = read_mapping(path); });
  if (!mapping) return;
  const DatasetSchema schema = schema_of(*mapping, "csv");
  refusal("", [&] { check_schema(schema); });
  require(schema.labels.size() == mapping->impressions.labels.size(), "labels were lost");
}

std::vector<std::string> seeds() {
  return {std::string(2000, '['), "name: " + std::string(2000, '{'), R"(
impressions:
  files: log.csv
  user: user
  item: item
  time: {column: ts, unit: s}
  labels: {click: clicked}
)",
          R"(
name: shop
time_zone: "+08:00"
impressions:
  files: ["log_*.csv", more.csv]
  separator: ";"
  quotes: false
  columns: [user, item, ts, date, session, clicked, rating, dwell, hour, price, type]
  user: user
  item: item
  time: {column: ts, unit: iso8601}
  day: date
  request: session
  labels:
    click: clicked
    good: {column: rating, at_least: 4}
    five: {column: rating, equals: "5"}
  weights: {dwell: dwell}
  request_features:   {hour: {kind: id}}
  candidate_features: {price: {column: price, kind: real, log1p: true}}
  event:
    when: {column: clicked, at_least: 1}
    features: {action: {column: type, kind: id}}
users: {files: users.csv, user: user_id, features: {city: {kind: id}}}
items: {files: items.csv, item: item_id, features: {tags: {kind: ids, separator: "|"}}}
)",
          R"(
impressions:
  files: log.tsv
  user: user
  item: item
  time: {column: ts, unit: ms}
  labels: {click: clicked}
  event: none
events: {files: events.csv, user: user, time: {column: ts, unit: us}, features: {cate: {kind: id}}}
)"};
}

}  // namespace

const Target mapping{"mapping", run, seeds};

}  // namespace lime::fuzz
