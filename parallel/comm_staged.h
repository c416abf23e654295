// Collectives over device memory by a communicator of host memory: for ranks that share a device, which NCCL
// refuses, and for the emulator.
#pragma once

#include <memory>

#include "parallel/communicator.h"

namespace lime {

// Every collective waits for the context's stream, copies its input to page-locked host memory and hands it
// to `host`; wait() (or the test() that finds it done) puts the copy of the result on the stream. The sums
// are those of `host`, bit for bit. Collective. `host` and the context must outlive it and its works.
std::unique_ptr<Communicator> make_staged_communicator(Communicator& host, Context&);

}  // namespace lime
