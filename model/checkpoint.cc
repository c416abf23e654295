#include "model/checkpoint.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/checkpoint_files.h"
#include "model/checkpoint_manifest.h"
#include "model/checkpoint_tensors.h"
#include "model/together.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/file_text.h"
#include "runtime/log.h"
#include "runtime/one_line.h"

namespace lime {
namespace {

// Every rank's files and positions on rank 0: files in order of rank, positions in order of shard.
void collect(Communicator& comm, const std::vector<CheckpointFile>& files, const TrainState& state,
             CheckpointManifest& manifest) {
  nlohmann::json mine{{"files", nlohmann::json::array()}, {"positions", nlohmann::json::array()}};
  for (const auto& file : files) mine["files"].push_back({file.name, file.bytes, file.xxh3});
  for (const auto& p : state.positions) mine["positions"].push_back({p.shard, p.epoch, p.unit, p.request});
  const std::string text = mine.dump();
  std::map<int64_t, ShardPosition> positions;
  for (const auto& bytes : gather_bytes(comm, std::span<const char>(text.data(), text.size()), 0)) {
    const auto theirs = nlohmann::json::parse(bytes.begin(), bytes.end());
    for (const auto& f : theirs["files"])
      manifest.files.push_back({f[0].get<std::string>(), f[1].get<int64_t>(), f[2].get<std::string>()});
    for (const auto& p : theirs["positions"]) {
      const ShardPosition position{p[0].get<int64_t>(), p[1].get<int64_t>(), p[2].get<int64_t>(),
                                   p[3].get<int64_t>()};
      positions.emplace(position.shard, position);
    }
  }
  manifest.state.positions.clear();
  for (const auto& [shard, position] : positions) manifest.state.positions.push_back(position);
}

// Steps of a save; each throws on all ranks if it fails on one.
void write_checkpoint(Communicator& comm, const std::string& run_directory, const std::string& directory,
                      const Config& config, const Network& network, const AdamW& optimizer,
                      const TrainState& state) {
  const bool root = comm.rank() == 0;
  const std::string partial = partial_name(directory);
  together(comm, [&] {
    if (!root) return;
    remove_partial(run_directory);
    make_directories(partial);
  });

  std::vector<CheckpointFile> files;
  together(comm, [&] {
    if (root) {
      write_dense(join(partial, dense_file_name), network.context(), network.parameters(), optimizer);
      files.push_back(describe_file(partial, dense_file_name));
    }
    const std::string name = tables_file_name(comm.rank(), comm.size());
    write_tables(join(partial, name), network.tables());
    files.push_back(describe_file(partial, name));
  });

  CheckpointManifest manifest{model_signature(config), config.seed, state, {}};
  collect(comm, files, state, manifest);
  together(comm, [&] {
    if (!root) return;
    write_durably(join(partial, manifest_name), to_text(manifest));
    publish(partial, directory);
  });
}

}  // namespace

std::string save_checkpoint(Communicator& comm, const std::string& run_directory, const Config& config,
                            const Network& network, const AdamW& optimizer, const TrainState& state,
                            int64_t keep, std::optional<int64_t> best) {
  const std::string directory = checkpoint_directory(run_directory, checkpoint_name(state.step));
  const bool root = comm.rank() == 0;
  try {
    write_checkpoint(comm, run_directory, directory, config, network, optimizer, state);
  } catch (const Error& error) {
    std::error_code ignored;
    if (root) std::filesystem::remove_all(partial_name(directory), ignored);
    const std::string message = str("cannot write checkpoint ", directory, ": ", error.what());
    if (dynamic_cast<const UserError*>(&error)) throw UserError(message);
    throw Error(message);
  }
  if (root) keep_newest(run_directory, state.step, keep, best);
  return directory;
}

namespace {

bool is_text_of(const std::string& path, const std::string& text) {
  try {
    return file_text(path) == text;
  } catch (const UserError&) {
    return false;
  }
}

}  // namespace

VerifiedCheckpoint::VerifiedCheckpoint(Communicator& comm, std::string directory)
    : directory_(std::move(directory)) {
  std::vector<char> bytes;
  const std::string path = join(directory_, manifest_name);
  together(comm, [&] {
    if (comm.rank() != 0) return;
    const std::string text = file_text(path);
    bytes.assign(text.begin(), text.end());
  });
  broadcast_bytes(comm, bytes, 0);
  const std::string text(bytes.begin(), bytes.end());
  const CheckpointManifest manifest = parse_manifest(text, path);
  const auto mine = static_cast<int64_t>(comm.rank() == 0 || is_text_of(path, text));
  const auto same = all_gather_values(comm, std::span<const int64_t>(&mine, 1));
  for (size_t rank = 0; rank < same.size(); ++rank)
    if (!same[rank])
      throw CheckpointCopyError(str(
          path, ": rank ", rank, " finds another file than rank 0, or none: expected the same on all hosts"));
  together(comm, [&] {
    for (size_t i = 0; i < manifest.files.size(); ++i)
      if (i % static_cast<size_t>(comm.size()) == static_cast<size_t>(comm.rank()))
        verify_file(directory_, manifest.files[i]);
  });
  manifest_ = std::make_shared<const CheckpointManifest>(manifest);
}

const std::string& VerifiedCheckpoint::checksum() const { return manifest_->xxh3; }

namespace {

void read_files(Communicator& comm, const VerifiedCheckpoint& checkpoint, Network& network, AdamW* optimizer,
                TableUse use) {
  together(comm, [&] {
    for (const auto& file : checkpoint.manifest().files) {
      const std::string path = join(checkpoint.directory(), file.name);
      if (file.name == dense_file_name) read_dense(path, network.context(), network.parameters(), optimizer);
      if (is_tables_file(file.name)) read_tables(path, network.tables(), comm.rank(), comm.size(), use);
    }
  });
}

}  // namespace

TrainState load_checkpoint(Communicator& comm, const VerifiedCheckpoint& checkpoint, const Config& config,
                           Network& network, AdamW* optimizer) {
  const std::string& directory = checkpoint.directory();
  const CheckpointManifest& manifest = checkpoint.manifest();
  check_same_model(manifest, config, directory);
  if (manifest.seed != config.seed)
    throw UserError(str("checkpoint ", directory, " is of another run: seed is ", manifest.seed, " there, ",
                        config.seed, " here"));
  const auto shards = static_cast<int64_t>(manifest.state.positions.size());
  if (optimizer && shards > 0 && shards != config.train.micro_batches)
    throw UserError(str("checkpoint ", directory, " is of another run: train.micro_batches is ", shards,
                        " there, ", config.train.micro_batches, " here"));
  read_files(comm, checkpoint, network, optimizer, optimizer ? TableUse::go_on : TableUse::read);
  return manifest.state;
}

void load_weights(Communicator& comm, const VerifiedCheckpoint& checkpoint, const Config& config,
                  Network& network) {
  check_same_model(checkpoint.manifest(), config, checkpoint.directory(), false);
  read_files(comm, checkpoint, network, nullptr, TableUse::begin);
}

std::optional<VerifiedCheckpoint> newest_good_checkpoint(Communicator& comm,
                                                         const std::string& run_directory) {
  std::vector<char> bytes;
  together(comm, [&] {
    if (comm.rank() != 0) return;
    const std::string text = nlohmann::json(list_checkpoints(run_directory)).dump();
    bytes.assign(text.begin(), text.end());
  });
  broadcast_bytes(comm, bytes, 0);
  for (const auto& name : nlohmann::json::parse(bytes.begin(), bytes.end())) {
    try {
      return VerifiedCheckpoint(comm, checkpoint_directory(run_directory, name.get<std::string>()));
    } catch (const CheckpointVersionError&) {
      throw;
    } catch (const CheckpointCopyError&) {
      throw;
    } catch (const UserError& error) {
      LOG_IF(WARNING, comm.rank() == 0) << "passing over a broken checkpoint: " << one_line(error.what());
    }
  }
  return std::nullopt;
}

}  // namespace lime
