// Where a run's checkpoints stand on disk, and how one appears there whole or not at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lime {

// DIRECTORY/NAME.
std::string join(const std::string& directory, const std::string& name);
std::string checkpoints_directory(const std::string& run_directory);
// "step-000000335", and back; nothing for any other name, one that ends in ".partial" too.
std::string checkpoint_name(int64_t step);
std::optional<int64_t> checkpoint_step(const std::string& name);
// Where a checkpoint is written before it is renamed.
std::string partial_name(const std::string& directory);

// All of these throw UserError: "PATH: Permission denied".
void make_directories(const std::string& path);
// Syncs the directory `partial`, gives it its final name (in place of one that has it, which goes), and syncs
// the directories above it.
void publish(const std::string& partial, const std::string& directory);
// Removes what killed jobs left: every *.partial under the directory of checkpoints.
void remove_partial(const std::string& run_directory);

// Removes the oldest checkpoints of steps up to `step` beyond the newest `keep` of them, but never that of
// step `best`; keep < 1 keeps all.
// One that cannot be removed is a warning. Those of later steps (passed over by a resume as broken) stay
// until their step comes.
void keep_newest(const std::string& run_directory, int64_t step, int64_t keep,
                 std::optional<int64_t> best = {});

}  // namespace lime
