// parallel/comm_nccl.h in a build without NCCL.
#include "parallel/comm_nccl.h"
#include "runtime/error.h"

namespace lime {

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Context&, const NcclLimits&) {
  throw UserError(str("collectives on the devices of ", host.size(),
                      " ranks: this build has no NCCL; build with LIME_CUDA=ON where nccl.h is installed "
                      "(libnccl-dev), or use device=cpu"));
}

}  // namespace lime
