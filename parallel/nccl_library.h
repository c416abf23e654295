// NCCL, opened when it is first used: a program starts where it is not installed. The one home of nccl.h,
// which is NCCL's, or where the device is emulated that of runtime/emulator/toolkit. Internal to parallel/.
#pragma once

#include <nccl.h>

namespace lime {

// The functions used, by their own names without the prefix.
struct NcclLibrary {
  decltype(&ncclGetUniqueId) unique_id;
  decltype(&ncclCommInitRankConfig) init_rank;
  decltype(&ncclCommFinalize) finalize;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclCommGetAsyncError) async_error;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetLastError) last_error;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) recv;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclBroadcast) broadcast;
};

// Throws UserError, naming the library and where to get it, if it cannot be opened.
const NcclLibrary& nccl();

}  // namespace lime
