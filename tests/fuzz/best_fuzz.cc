// RUN/best.json, which names the checkpoint that readers of a run take.
#include "model/best_record.h"

#include "model/checkpoint_files.h"
#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {
namespace {

void run(std::string_view bytes) {
  scratch_file("best.json", bytes);
  std::optional<BestRecord> record;
  refusal(best_path(scratch()), [&] { record = read_best(scratch()); });
  if (!record) return;
  require(checkpoint_step(record->checkpoint).has_value(), "no checkpoint's name: ", record->checkpoint);
  const auto refused = refusal("", [&] {
    write_best(scratch(), *record);
    require(read_best(scratch()) == record, "written again, it is another one");
  });
  require(!refused, "what was written is refused: ", refused.value_or(""));
}

std::vector<std::string> seeds() {
  write_best(scratch(), {"step-000000335", "click.auc", "running", {"2024-01-03", "2024-01-04"}, 0.7});
  const std::string text = read_whole(best_path(scratch()));
  return {text, text.substr(0, text.size() / 2),
          "{\"x\":" + std::string(200'000, '[') + std::string(200'000, ']') + "}",
          R"({"checkpoint":"../../x","metric":"m","history":"h","days":[],"value":1})",
          R"({"checkpoint":"step-000000001","metric":"m","history":"h","days":{"a":"b"},"value":true})"};
}

}  // namespace

const Target best{"best", run, seeds};

}  // namespace lime::fuzz
