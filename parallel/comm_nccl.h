// Collectives over device memory by NCCL, opened when the first communicator is made: a program starts where
// it is not installed. Without CUDA there is none: making one is a UserError. The emulator has its own.
//
// Order of sums: NCCL moves the parts (grouped sends and receives: each rank gets all parts of one chunk), a
// kernel adds them along the tree of tree_sum.h, NCCL moves the sums. As many bytes as a ring takes, and the
// bits of every other communicator.
//
// Waiting: wait() makes the context's stream wait, not the host, which goes on giving work. Work::test() says
// whether a collective has ended. (NCCL joins ranks when it first needs to, and there the host waits for the
// others: it is done when a communicator is made, but for what only larger collectives use.)
//
// Order: all ranks make the calls to all their communicators of a device, duplicates too, in one order
// (nccl_channel.h).
//
// Failure: the host looks after what is under way while it waits for the device or for messages
// (runtime/device_watch.h). A rank that is gone, an asynchronous error of NCCL or a collective that makes no
// end within the time limit aborts the communicator, and with it all others of the device that have something
// under way, and is an Error that names rank, collective and size, thrown by that wait, or by the next call.
#pragma once

#include <memory>

#include "parallel/communicator.h"

namespace lime {

struct NcclLimits {
  double connect_s = 120;     // for all ranks to meet
  double collective_s = 600;  // for a collective that is the next to end, while the host waits for the device
};

// Over the ranks of `host`, which carries NCCL's id, each on the device of its context: no two on the same
// one. Collective. Throws the same UserError on all ranks if the library cannot be opened on one. `host` and
// the context must outlive it and its works.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Context&, const NcclLimits& = {});

}  // namespace lime
