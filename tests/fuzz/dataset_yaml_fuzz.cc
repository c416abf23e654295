// A dataset's description, dataset.yaml.
#include <filesystem>

#include "io/dataset.h"
#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {
namespace {

std::string directory() {
  static const std::string path = scratch() + "/described";
  std::filesystem::create_directories(path);
  return path;
}

std::optional<Dataset> described(std::string_view text) {
  const std::string path = scratch_file("described/dataset.yaml", text);
  std::optional<Dataset> dataset;
  refusal(path, [&] { dataset = Dataset::describe(directory()); });
  return dataset;
}

void run(std::string_view text) {
  directory();
  const auto dataset = described(text);
  if (!dataset) return;
  require(dataset->users() >= 0 && dataset->events() >= 0, "more users or events than can be counted");
  for (int64_t part = 0; part < dataset->parts(); ++part) dataset->part_info(part);
  for (const auto& day : dataset->days()) dataset->day_start_ms(day.day);
  refusal(directory(), [&] { Dataset::open(directory()); });  // none of its files is there
  const std::string written = dataset->text();
  const auto again = described(written);
  require(again.has_value(), "what was written is refused: ", written);
  require(again->text() == written, "written again, it is another one: ", written);
}

std::vector<std::string> seeds() {
  return {R"(format: lime-dataset
version: 2
name: "shop"
source: "csv shop.yaml"
time_zone: "+08:00"
columns:
  - {name: "author", group: item, kind: id}
  - {name: "topics", group: item, kind: ids}
  - {name: "dwell", group: event, kind: real}
labels: ["click"]
weights: ["watch"]
facts: {bayes_auc: 0.8543}
imports:
  - source: "csv shop.yaml"
    items: 7
    items_bytes: 1510
    events_until_ms: 1651939199000
    parts:
      - {users: 3, described: 3, histories: 2, events: 17, bytes: 2411}
      - {users: 2, described: 2, histories: 2, events: 9, bytes: 2011}
    days:
      - day: "2022-04-25"
        requests: [19, 12]
        candidates: [19, 12]
        bytes: [4012, 4000]
  - source: "csv shop.yaml"
    items: 9
    items_bytes: 0
    parts:
      - {users: 0, described: 1, histories: 2, events: 1, bytes: 2411}
      - {users: 1, described: 1, histories: 0, events: 0, bytes: 2011}
    days: []
)",
          R"(format: lime-dataset
version: 2
name: a
source: b
time_zone: "-03:30"
columns: []
event_items: false
labels: [click]
weights: []
facts: {}
imports:
  - {source: b, items: 0, items_bytes: 0, parts: [{users: 0, described: 0, histories: 0, events: 0, bytes: 1}], days: []}
)"};
}

}  // namespace

const Target dataset_yaml{"dataset_yaml", run, seeds};

}  // namespace lime::fuzz
