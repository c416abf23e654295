// The communicator of a context's device.
#pragma once

#include <memory>
#include <string_view>

#include "parallel/communicator.h"
#include "parallel/process_group.h"

namespace lime {

// Over the ranks of a communicator over host memory, each with its own context, all on the same type of
// device. Collective.
//   the CPU                                      a duplicate of that
//   one rank                                     self
//   CUDA, a device for each rank                 NCCL; UserError, the same on all ranks, where it is missing
//   CUDA, ranks that share a device              staged, over that
// `host` and the context must outlive it.
std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Context&);

// Whether two ranks have the same device. Each gives its own, a CUDA device. Collective.
bool ranks_share_a_device(Communicator& host, Device);

// The device that `text` means on this rank: "cuda", without a number, is the rank's own on its host
// (cuda:0 for local rank 0, ...). Throws UserError on what is not a device.
Device device_of_rank(std::string_view text, const ProcessGroup&);

}  // namespace lime
