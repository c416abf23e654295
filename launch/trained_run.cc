#include "launch/trained_run.h"

#include "launch/same_everywhere.h"
#include "model/checkpoint.h"
#include "parallel/device_communicator.h"

namespace lime {

TrainedRun::TrainedRun(ProcessGroup& group, const RunChoice& choice)
    : group_(group),
      config_(load_everywhere(group, [&] { return load_run_config(choice); })),
      dataset_(open_everywhere(group, config_.data.path)),
      context_(device_of_rank(config_.device, group), config_),
      checkpoint_(choose_checkpoint(group.world(), choice)),
      of_tables_(make_device_communicator(group, context_)),
      network_(context_, group.world(), config_, dataset_.schema(), of_tables_.get()) {
  load_checkpoint(group.world(), checkpoint_, config_, network_, nullptr);
}

}  // namespace lime
