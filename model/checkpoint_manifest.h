// manifest.json of a checkpoint: what it is, where the run stood, and the files that belong to it with their
// checksums.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/checkpoint.h"

namespace lime {

inline constexpr int checkpoint_version = 1;
inline constexpr const char* manifest_name = "manifest.json";

struct CheckpointFile {
  std::string name;
  int64_t bytes = 0;
  std::string xxh3;
};

struct CheckpointManifest {
  std::string model;  // model_signature of the config
  uint64_t seed = 0;
  TrainState state;  // positions of all virtual shards
  std::vector<CheckpointFile> files;
  std::string xxh3 = {};  // of all the rest; known of a manifest that was read
};

// Another format version: not broken, but not to be read either.
class CheckpointVersionError : public UserError {
 public:
  using UserError::UserError;
};

// Another one for some rank than for rank 0: its host has a copy of its own.
class CheckpointCopyError : public UserError {
 public:
  using UserError::UserError;
};

std::string to_text(const CheckpointManifest&);
// Throws UserError naming `origin` where the text is no manifest, was altered, or is of another version.
CheckpointManifest parse_manifest(const std::string& text, const std::string& origin);

// A file's entry, read back from the disk.
CheckpointFile describe_file(const std::string& directory, const std::string& name);
// Throws UserError naming the file if it is missing or its size or checksum differs.
void verify_file(const std::string& directory, const CheckpointFile&);

// Throws UserError naming the first difference between the checkpoint's model and this config's.
// `same_types`: of the tables' rows too (TableConfig::type).
void check_same_model(const CheckpointManifest&, const Config&, const std::string& directory,
                      bool same_types = true);

}  // namespace lime
