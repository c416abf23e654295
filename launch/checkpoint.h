// Checkpoints: everything a run needs to go on, bit for bit, on any number of ranks. docs/checkpoint_format.md.
//
//   RUN/checkpoints/step-000000335/
//     manifest.json     format version, model signature, step, epoch, reader positions, seed, files with sizes and checksums
//     dense.h5          /parameters/NAME, /adamw/first_moment/NAME, /adamw/second_moment/NAME
//     tables-00000-of-00002.h5   /TABLE/bucket_offsets, /TABLE/id, /TABLE/value, /TABLE/state (rows by bucket, then id)
//
// Written to "step-N.partial", synced, checksummed, renamed; only then are older ones beyond `keep` removed. So a run
// killed at any moment leaves the previous checkpoint whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/batch.h"
#include "launch/config.h"
#include "launch/network.h"
#include "layers/adamw.h"
#include "parallel/process_group.h"

namespace lime {

struct TrainState {
  int64_t step = 0;   // steps done
  int64_t epoch = 0;  // of the next batch
  std::vector<ShardPosition> positions;  // of all virtual shards; empty: the epoch's beginning
  bool finished = false;                 // the run's last step is done
};

// Collective: every rank gives its own positions in `state`. Throws UserError on a full disk or an unwritable directory,
// having removed the partial one; earlier checkpoints stay. Returns the new checkpoint's directory.
std::string save_checkpoint(ProcessGroup&, const std::string& run_directory, const Config&, const Network&,
                            const AdamW&, const TrainState&, int64_t keep);

// Names of the complete checkpoints under a run directory, newest first (not verified).
std::vector<std::string> list_checkpoints(const std::string& run_directory);

// Collective. Loads one checkpoint directory; throws UserError naming the file if it is broken (missing, truncated, wrong
// checksum), of another format version, or of another model (signatures differ: names the first difference).
// `optimizer` may be null (evaluation).
TrainState load_checkpoint(ProcessGroup&, const std::string& directory, const Config&, Network&, AdamW* optimizer);

// Collective. The newest checkpoint that passes verification of sizes and checksums; broken ones are named in a warning
// and passed over. Empty if there is none.
std::optional<std::string> newest_good_checkpoint(ProcessGroup&, const std::string& run_directory);

// One line a tensor and table: shape, rows, and a digest that does not depend on how it was sharded.
std::string describe_checkpoint(const std::string& directory);

}  // namespace lime
