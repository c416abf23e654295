#include "launch/trained_run.h"

#include <filesystem>
#include <utility>

#include "launch/host_items.h"
#include "launch/same_everywhere.h"
#include "parallel/device_communicator.h"

namespace lime {

RunDescription::RunDescription(ProcessGroup& group, const RunChoice& run)
    : choice(run),
      config(load_everywhere(group, [&] { return load_run_config(run); })),
      dataset(open_everywhere(group, config.data.path)) {}

TrainedRun::TrainedRun(ProcessGroup& group, RunDescription run)
    : group_(group),
      config_(std::move(run.config)),
      dataset_(std::move(run.dataset)),
      items_(items_of_host(group, dataset_, config_.features)),
      context_(device_of_rank(config_.device, group), config_),
      checkpoint_(choose_checkpoint(group.world(), run.choice)),
      of_tables_(make_device_communicator(group.world(), context_)),
      network_(context_, group.world(), without_optimizer_state(config_), dataset_.schema(),
               of_tables_.get()) {
  load_checkpoint(group.world(), checkpoint_, config_, network_, nullptr);
}

std::string TrainedRun::checkpoint_name() const {
  return std::filesystem::path(checkpoint()).filename().string();
}

}  // namespace lime
