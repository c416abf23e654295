// manifest.json of a checkpoint. Where the first byte says so, the text is given the checksum of its own that
// it should have: what stands behind the checksum is then read.
#include <nlohmann/json.hpp>

#include "model/checkpoint_manifest.h"
#include "model/file_checksum.h"
#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {
namespace {

constexpr const char* origin = "step-000000335/manifest.json";

std::string with_checksum(std::string_view text) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::string(text);
  json.erase("manifest_xxh3");
  json["manifest_xxh3"] = digest_of(json.dump());
  return json.dump();
}

void run(std::string_view bytes) {
  Input input(bytes);
  const bool fix = input.byte() % 2 == 1;
  const std::string text = fix ? with_checksum(input.rest()) : std::string(input.rest());
  std::optional<CheckpointManifest> manifest;
  refusal(origin, [&] { manifest = parse_manifest(text, origin); });
  if (!manifest) return;
  const std::string written = to_text(*manifest);
  require(to_text(parse_manifest(written, origin)) == written, "written again, it is another one: ", written);
}

std::vector<std::string> seeds() {
  TrainState state;
  state.step = 335, state.epoch = 1, state.finished = true;
  state.positions = {{0, 1, 2, 3}, {1, 1, 0, 0}};
  state.order.shuffle_window = 64, state.order.days = {{"2024-01-01", 5}}, state.order.imports = 1;
  state.extra = {{"loss", 0.25}, {"large", 1e300}};
  const std::string text =
      to_text({"model.name: lime_xor\ntask: click\n",
               7,
               state,
               {{"dense.h5", 12345, std::string(32, '0')}, {"tables-00000-of-00001.h5", 1, "x"}}});
  return {
      std::string(1, '\0') + "{\"format\":\"lime-checkpoint\",\"x\":" + std::string(200'000, '[') +
          std::string(200'000, ']') + "}",

      std::string(1, '\0') + text, '\1' + text,
      std::string(
          "\1{\"format\":\"lime-checkpoint\",\"version\":1,\"model\":[],\"seed\":1,\"step\":0,\"epoch\":0,"
          "\"finished\":false,\"positions\":[],\"extra\":{},\"files\":[]}")};
}

}  // namespace

const Target manifest{"manifest", run, seeds};

}  // namespace lime::fuzz
