// Checkpoints: everything a run needs to go on, bit for bit, on any number of ranks.
// docs/checkpoint_format.md.
//
//   RUN/checkpoints/step-000000335/
//     manifest.json              version, model signature, step, positions, seed, files with checksums
//     dense.h5                   /parameters/NAME, /adamw/first_moment/NAME, /adamw/second_moment/NAME
//     tables-00000-of-00002.h5   /TABLE/bucket_offsets, /TABLE/id, /TABLE/value, /TABLE/state, /TABLE/idle,
//                              and of tables with admit_after > 1 /TABLE/waiting
//
// Written to "step-N.partial", synced, checksummed, renamed; only then are older ones beyond `keep` removed.
// So a run killed at any moment leaves the previous checkpoint whole, and that of step `best` whatever its
// age.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/batch.h"
#include "io/reading_order.h"
#include "layers/adamw.h"
#include "model/config.h"
#include "model/network.h"
#include "parallel/communicator.h"

namespace lime {

struct CheckpointManifest;  // model/checkpoint_manifest.h

struct TrainState {
  int64_t step = 0;                      // steps done
  int64_t epoch = 0;                     // of the next batch
  std::vector<ShardPosition> positions;  // of all virtual shards; empty: the epoch's beginning
  ReadingOrder order;                    // what positions refer to; no days: not known (an early checkpoint)
  bool finished = false;                 // the run's last step is done
  std::map<std::string, double> extra;   // running statistics and the like, kept to the bit (rank 0's)
  friend bool operator==(const TrainState&, const TrainState&) = default;
};

// Collective: every rank gives its own positions in `state`; a shard that several give counts as the lowest
// rank has it. Throws the same UserError on every rank, on a full disk or an unwritable directory for
// instance, having removed the partial one; earlier checkpoints stay. Returns the new checkpoint's directory.
// One of the same step is replaced. Beside the newest `keep`, that of step `best` stays.
std::string save_checkpoint(Communicator&, const std::string& run_directory, const Config&, const Network&,
                            const AdamW&, const TrainState&, int64_t keep, std::optional<int64_t> best = {});

// Names ("step-000000335") of the complete checkpoints under a run directory, newest first (not verified).
std::vector<std::string> list_checkpoints(const std::string& run_directory);

// The directory of one of them.
std::string checkpoint_directory(const std::string& run_directory, const std::string& name);

// A checkpoint that was read from end to end and found whole. What loads one asks for this, so that nothing
// is used unchecked, and no file, however large, is read for its checksum again.
class VerifiedCheckpoint {
 public:
  // Collective: the ranks share the reading. Throws the same UserError on every rank if a file is missing,
  // truncated or has a wrong checksum (it is named), or if the checkpoint is of another format version, or is
  // not the same for all ranks.
  VerifiedCheckpoint(Communicator&, std::string directory);

  const std::string& directory() const { return directory_; }
  const CheckpointManifest& manifest() const { return *manifest_; }
  // Of the manifest, which holds those of all files: equal for the same weights of the same run.
  const std::string& checksum() const;

 private:
  std::string directory_;
  std::shared_ptr<const CheckpointManifest> manifest_;
};

// Collective. Loads a checkpoint into a new network (one without table rows), on any number of ranks; the
// state returned has the positions of all virtual shards. Throws the same UserError on every rank if it is of
// another model (names the first difference) or seed. `optimizer` may be null (evaluation).
TrainState load_checkpoint(Communicator&, const VerifiedCheckpoint&, const Config&, Network&,
                           AdamW* optimizer);

// Collective. The first values of another run: parameters, and table rows with their optimizer's state, which
// is each row's own, and ids that wait for one, but for those that TableConfig::keep_runs does not keep.
// Position, step and AdamW's moments stay behind. The same errors, but that the seed may be another.
void load_weights(Communicator&, const VerifiedCheckpoint&, const Config&, Network&);

// Collective. The newest checkpoint that is whole; broken ones are named in a warning and passed over.
// Nothing if there is none. Throws UserError at one of another format version.
std::optional<VerifiedCheckpoint> newest_good_checkpoint(Communicator&, const std::string& run_directory);

// Where the run stood, then one line a tensor and table: shape or rows, and a digest. Equal text for equal
// content, however many ranks wrote it. Throws UserError if it is broken.
std::string describe_checkpoint(const std::string& directory);

// What is in a checkpoint, from the shapes alone (nothing is verified).
struct CheckpointShapes {
  struct Shape {
    std::string name;
    int64_t rows = 0, columns = 0;
    DType type = DType::f32;  // bf16 where a table's rows are
    int64_t waiting = 0;      // of a table: ids that wait for a row
  };
  std::vector<Shape> parameters;  // dense, in order of names
  std::vector<Shape> tables;      // rows over all ranks' files
  int64_t parameter_count() const;
  int64_t table_rows() const;
  int64_t waiting_ids() const;
};
CheckpointShapes checkpoint_shapes(const std::string& directory);

}  // namespace lime
