// The tensor files of a checkpoint. The first byte chooses one and whether the manifest is made to agree with
// it: where it is not, any damage must be found; where it is, what the file says must not be believed.
#include <array>
#include <filesystem>

#include "model/checkpoint.h"
#include "model/checkpoint_files.h"
#include "model/checkpoint_manifest.h"
#include "model/checkpoint_tensors.h"
#include "tests/fuzz/hdf5_edit.h"
#include "tests/fuzz/small_run.h"

namespace lime::fuzz {
namespace {

void load(const SmallRun& run, bool training) {
  const auto alone = make_self_communicator();
  const VerifiedCheckpoint checkpoint(*alone, run.checkpoint);
  Context ctx;
  Network network(ctx, *alone, run.config, run.dataset.schema());
  AdamW adamw(ctx, network.parameters(), run.config.train.adamw);
  if (training)
    load_checkpoint(*alone, checkpoint, run.config, network, &adamw);
  else
    load_weights(*alone, checkpoint, run.config, network);
}

void run(std::string_view bytes) {
  static const SmallRun small(scratch() + "/run");
  static const std::string content = describe_checkpoint(small.checkpoint);
  static const std::array<std::string, 2> names = {dense_file_name, tables_file_name(0, 1)};
  static const std::string manifest_path = join(small.checkpoint, manifest_name),
                           manifest_text = read_whole(manifest_path);
  Input input(bytes);
  const uint8_t how = input.byte();
  const std::string path = join(small.checkpoint, names[how % 2]), before = read_whole(path);
  const bool agree = (how & 2) != 0;
  const std::string place = path.substr(scratch().size()),
                    manifest_place = manifest_path.substr(scratch().size());
  const std::string after = changed_file(before, input);
  scratch_file(place, after);
  if (agree) {
    CheckpointManifest manifest = parse_manifest(manifest_text, manifest_path);
    for (auto& file : manifest.files) file = describe_file(small.checkpoint, file.name);
    scratch_file(manifest_place, to_text(manifest));
  }
  const std::string named = agree ? small.checkpoint : path;
  for (const bool training : {true, false}) {
    const auto refused = refusal(named, [&] { load(small, training); });
    require(agree || refused || after == before, "damage that is not noticed");
  }
  const auto refused = refusal(named, [&] {
    const std::string found = describe_checkpoint(small.checkpoint);
    require(agree || found == content, "damage that is not noticed");
  });
  require(agree || refused || after == before, "damage that is not noticed");
  refusal(small.checkpoint, [&] { checkpoint_shapes(small.checkpoint); });
  scratch_file(place, before);
  scratch_file(manifest_place, manifest_text);
}

std::vector<std::string> seeds() {
  std::vector<std::string> inputs;
  for (const char how : {0, 1, 2, 3}) {
    inputs.push_back({how, by_bytes});
    inputs.push_back(std::string{how, by_bytes} + flip(9, 1) + flip(4096, 128));
    inputs.push_back(std::string{how, by_bytes} + cut(3000));
    for (uint8_t column = 0; column < 24; column += 4) {
      inputs.push_back(std::string{how, by_hdf5} + number_at(column, 1, 138));
      inputs.push_back(std::string{how, by_hdf5} + reshaped(column, 0, 138, 1));
      if (how >= 2) inputs.push_back(std::string{how, by_hdf5} + reshaped(column, 1, 24, 1));
    }
  }
  return inputs;
}

}  // namespace

const Target checkpoint{"checkpoint", run, seeds};

}  // namespace lime::fuzz
