#include "parallel/nccl_library.h"

#include "runtime/shared_library.h"

namespace lime {

namespace {

NcclLibrary open() {
  const SharedLibrary library(
      "libnccl.so.2",
      "install NCCL 2.22 or later (Debian and Ubuntu with NVIDIA's repository: apt-get install libnccl2; "
      "Python: pip install nvidia-nccl-cu13) and name its directory in LD_LIBRARY_PATH");
  NcclLibrary f;
  library.load(f.unique_id, "ncclGetUniqueId");
  library.load(f.init_rank, "ncclCommInitRankConfig");
  library.load(f.finalize, "ncclCommFinalize");
  library.load(f.destroy, "ncclCommDestroy");
  library.load(f.abort, "ncclCommAbort");
  library.load(f.async_error, "ncclCommGetAsyncError");
  library.load(f.error_string, "ncclGetErrorString");
  library.load(f.last_error, "ncclGetLastError");
  library.load(f.group_start, "ncclGroupStart");
  library.load(f.group_end, "ncclGroupEnd");
  library.load(f.send, "ncclSend");
  library.load(f.recv, "ncclRecv");
  library.load(f.all_gather, "ncclAllGather");
  library.load(f.broadcast, "ncclBroadcast");
  return f;
}

}  // namespace

const NcclLibrary& nccl() {
  static const NcclLibrary functions = open();
  return functions;
}

}  // namespace lime
