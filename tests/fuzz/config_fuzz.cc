// A run configuration, and --set. The input is the file's text, then lines "%%set KEY=VALUE".
#include "model/config.h"
#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {
namespace {

constexpr std::string_view set_line = "\n%%set ";

void run(std::string_view bytes) {
  Input input(bytes);
  const std::string text(input.until(set_line));
  Overrides overrides;
  while (!input.empty()) {
    const std::string_view line = input.until(set_line);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;  // the command line's to refuse
    overrides.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  const std::string origin = overrides.empty() ? "run.yaml" : "";  // it may be --set that is wrong
  std::optional<Config> config;
  refusal(origin, [&] { config = parse_config(text, "run.yaml", overrides); });
  if (!config) return;
  const std::string written = to_yaml(*config), signature = model_signature(*config);
  const auto refused = refusal("", [&] {
    const Config again = parse_config(written, "config.yaml", {});
    require(to_yaml(again) == written, "written again, it is another configuration: ", written);
    require(model_signature(again) == signature, "written again, it is of another model: ", signature);
  });
  require(!refused, "what was written is refused: ", refused.value_or(""));
}

std::vector<std::string> seeds() {
  return {"data: " + std::string(2000, '['), "data: &a {x: *a}\n#" + std::string(300'000, 'x'),
          "data: {path: d, train: 2024-01-01}\ntasks: [click]\n",
          R"(data:
  path: data/log
  train: 2022-04-25..2022-05-04
  eval: 2022-05-05..2022-05-08
  max_history: 64
features:
  history: [item, topics, action, age]
  candidate: [item, topics, price]
  user: [user, hour]
embeddings:
  dim: 4
  memory: host
  type: bf16
  tables:
    user: {optimizer: adam, learning_rate: 1e-3}
    item:
      dim: 6
      optimizer: adagrad
  shared: {age: action}
  pooling: {topics: sum}
model:
  name: lime_xor
  width: 8
  heads: 2
  links: 4
  blocks: 1
tasks:
  - label: click
  - label: like
    sample_weight: shown
    weight: 0.5
train:
  batch_requests: 32
  micro_batches: 4
  schedule: cosine
  clip_norm: 1.5
eval: {history: both, watch_time: watch}
%%set train.epochs=3
%%set tasks.0.weight=2
%%set features.user=[user]
%%set embeddings.tables.item={dim: 8}
)"};
}

}  // namespace

const Target config{"config", run, seeds};

}  // namespace lime::fuzz
