// NCCL for a build whose device is emulated (parallel/nccl_emulated.cc): of the library's interface what the
// project uses, by its names, types and numbers (tests/runtime/emulated_toolkit_test.cc compares them with
// NCCL's where it is installed). Contract: NCCL's documentation, 2.22 and later. For the ranks of one host.
//
// A communicator is non-blocking: what takes its time answers ncclInProgress, and goes on when
// ncclCommGetAsyncError() asks. What joins ranks for the first time takes until all of them have made the call
// (a send with its receive, each kind of collective). Collectives are work of their stream, and end when all who take part have
// come to them. What the library leaves undefined is an Error: memory that is not the device's, a rank that
// sends what another does not receive.
#pragma once

#include <climits>
#include <cstddef>

using cudaStream_t = struct CUstream_st*;
using ncclComm_t = struct ncclComm*;

#define NCCL_UNIQUE_ID_BYTES 128
struct ncclUniqueId {
  char internal[NCCL_UNIQUE_ID_BYTES];
};

enum ncclResult_t {
  ncclSuccess = 0,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7
};
enum ncclDataType_t { ncclUint8 = 1 };

struct ncclConfig_t {
  size_t size;
  unsigned int magic;
  unsigned int version;
  int blocking;
};
#define NCCL_CONFIG_INITIALIZER \
  { sizeof(ncclConfig_t), 0xcafebeef, 22809, INT_MIN }

ncclResult_t ncclGetUniqueId(ncclUniqueId*);
// The device is the thread's current one. Two ranks on one device are refused, but where NCCL_HOSTID says
// that they are of two hosts.
ncclResult_t ncclCommInitRankConfig(ncclComm_t*, int ranks, ncclUniqueId, int rank, ncclConfig_t*);
ncclResult_t ncclCommFinalize(ncclComm_t);
ncclResult_t ncclCommDestroy(ncclComm_t);
// In a group: all of its communicators are told before one is waited for.
ncclResult_t ncclCommAbort(ncclComm_t);
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t*);
const char* ncclGetErrorString(ncclResult_t);
const char* ncclGetLastError(ncclComm_t);

ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();
ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t, int peer, ncclComm_t, cudaStream_t);
ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t, int peer, ncclComm_t, cudaStream_t);
ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t, ncclComm_t,
                           cudaStream_t);
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t, int root, ncclComm_t,
                           cudaStream_t);
