// NCCL of the emulated devices: runtime/emulator/toolkit/nccl.h.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "parallel/nccl_emulated_member.h"
#include "parallel/nccl_library.h"
#include "runtime/emulator/memory.h"
#include "runtime/emulator/work.h"
#include "runtime/error.h"

using lime::Error;
using lime::str;
using lime::emulated_nccl::Kind;
using lime::emulated_nccl::Member;
using lime::emulated_nccl::Operation;
using lime::emulated_nccl::Transfer;

struct ncclComm {
  std::shared_ptr<Member> member;
};

namespace {

// The group that a thread has open.
struct Group {
  int depth = 0;
  std::shared_ptr<Member> member;
  cudaStream_t stream = nullptr;
  std::shared_ptr<Operation> operation;
  std::vector<ncclComm_t> aborted;
};
thread_local Group group;
std::vector<std::weak_ptr<Member>> members;  // of this process

void must(bool holds, const std::string& found) {
  if (!holds) throw Error(str("NCCL, emulated: ", found));
}

// Kernels of NCCL wait for other ranks' on the device. Two at once, of whatever communicators, may do so for
// ever where ranks run them in different orders: they must be ordered on the device, here by one stream.
void must_be_ordered(const Group& next) {
  struct Last {
    cudaStream_t stream;
    std::weak_ptr<Operation> operation;
  };
  static std::map<int, Last> last_of_device;
  Last& last = last_of_device[lime::emulator::active_device()];
  must(last.operation.expired() || last.stream == next.stream,
       "collectives of two streams are under way at once on a device");
  last = {next.stream, next.operation};
}

bool is_under_way(const Member& member) {
  return !member.stopped() &&
         std::ranges::any_of(member.operations, [](const auto& o) { return !o.second.expired(); });
}

// An abort waits for the device, and so for what other communicators have there, whose ranks may be gone,
// too: it would not end.
void end(const std::vector<ncclComm_t>& aborted) {
  for (const auto& known : members)
    if (const auto member = known.lock(); member && !aborted.empty())
      must(!is_under_way(*member),
           "a communicator is aborted, and not in one group with it another one that is under way");
  for (const ncclComm_t comm : aborted) delete comm;
}

ncclResult_t invalid(Member& member, ncclResult_t result, const std::string& reason) {
  member.last_error = reason;
  return result;
}

// Adds a call's part to the group, or does it as a group of its own.
template <typename Add>
ncclResult_t add(ncclComm_t comm, cudaStream_t stream, ncclDataType_t type, Add&& add_to) {
  Member& member = *comm->member;
  if (member.stopped()) return member.state;
  if (member.state == ncclInProgress)
    return invalid(member, ncclInvalidUsage, "a call before the last one was taken (ncclCommGetAsyncError)");
  if (type != ncclUint8) return invalid(member, ncclInvalidArgument, "only bytes are emulated");
  must(!group.member || (group.member == comm->member && group.stream == stream),
       "a group of two communicators or streams");
  ncclGroupStart();
  group.member = comm->member, group.stream = stream;
  if (!group.operation) group.operation = std::make_shared<Operation>();
  add_to(member, *group.operation);
  return ncclGroupEnd();
}

char* device_bytes(const void* memory, size_t bytes) {
  must(bytes == 0 || lime::emulator::is_device_memory(memory, bytes),
       str(bytes, " bytes that are not in the device's memory"));
  return static_cast<char*>(const_cast<void*>(memory));
}

}  // namespace

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  *id = {};
  std::random_device random;
  const std::string name = str("lime-nccl-", getpid(), "-", random(), "-", random());
  name.copy(id->internal, sizeof(id->internal) - 1);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  *comm = nullptr;
  if (ranks < 1 || rank < 0 || rank >= ranks || config->magic != 0xcafebeef ||
      config->size != sizeof(ncclConfig_t) || config->blocking != 0)
    return ncclInvalidArgument;
  *comm = new ncclComm{std::make_shared<Member>(rank, ranks, id.internal)};
  std::erase_if(members, [](const auto& known) { return known.expired(); });
  members.push_back((*comm)->member);
  return (*comm)->member->state;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  Member& member = *comm->member;
  if (member.state != ncclSuccess) return ncclInvalidUsage;
  for (const auto& [stream, operation] : std::exchange(member.operations, {}))
    if (!operation.expired()) lime::emulator::finish_work(stream);
  if (member.stopped()) return member.state;
  member.polls = 1;
  return member.state = ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  must(comm->member->state != ncclInProgress, "a communicator is destroyed that has not ended what it does");
  comm->member->fail(ncclInternalError, "destroyed");
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  ncclGroupStart();
  comm->member->fail(ncclInternalError, "aborted");
  group.aborted.push_back(comm);
  return ncclGroupEnd();
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* result) {
  Member& member = *comm->member;
  if (member.state == ncclInProgress) {
    if (!member.connected()) {
      member.meet();
    } else if (member.has_links() && member.polls-- <= 0) {
      member.state = ncclSuccess;
    }
  }
  *result = member.state;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
  }
  return "unknown result code";
}
const char* ncclGetLastError(ncclComm_t comm) { return comm->member->last_error.c_str(); }

ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group.depth < 1) return ncclInvalidUsage;
  if (--group.depth > 0) return ncclSuccess;
  const Group ended = std::exchange(group, {});
  end(ended.aborted);
  if (!ended.operation) return ncclSuccess;
  Member& member = *ended.member;
  // To itself: each send with the receive of its number.
  Operation& operation = *ended.operation;
  const auto own = [&](std::vector<Transfer>& transfers) {
    const auto mine = std::stable_partition(transfers.begin(), transfers.end(),
                                            [&](const Transfer& t) { return t.peer != member.rank; });
    std::vector<Transfer> result(mine, transfers.end());
    transfers.erase(mine, transfers.end());
    return result;
  };
  const auto sent = own(operation.sends), received = own(operation.receives);
  must(sent.size() == received.size(), "a rank sends to itself what it does not receive");
  for (size_t i = 0; i < sent.size(); ++i) {
    must(sent[i].header.bytes == received[i].header.bytes,
         "a rank sends itself more or less than it receives");
    operation.copies.push_back({sent[i].data, received[i].data, sent[i].header.bytes});
  }
  member.need_links(operation);
  must_be_ordered(ended);
  lime::emulator::add_work(ended.stream, [whose = ended.member, operation = ended.operation] {
    return whose->carry_on(*operation);
  });
  std::erase_if(member.operations, [](const auto& o) { return o.second.expired(); });
  member.operations.push_back({ended.stream, ended.operation});
  member.polls = 1;
  return member.state = ncclInProgress;
}

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add(comm, stream, type, [&](const Member&, Operation& o) {
    o.sends.push_back({peer, device_bytes(from, count), {Kind::point_to_point, count}});
  });
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add(comm, stream, type, [&](const Member&, Operation& o) {
    o.receives.push_back({peer, device_bytes(to, count), {Kind::point_to_point, count}});
  });
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return add(comm, stream, type, [&](const Member& member, Operation& o) {
    char* own = device_bytes(from, count);
    char* all = device_bytes(to, count * static_cast<size_t>(member.size));
    const auto part = [&](int r) { return all + static_cast<size_t>(r) * count; };
    must(own == part(member.rank) || own + count <= all ||
             all + count * static_cast<size_t>(member.size) <= own,
         "an all-gather overlaps what it reads");
    o.copies.push_back({own, part(member.rank), count});
    for (int r = 0; r < member.size; ++r) {
      if (r == member.rank) continue;
      o.sends.push_back({r, own, {Kind::all_gather, count}});
      o.receives.push_back({r, part(r), {Kind::all_gather, count}});
    }
  });
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return add(comm, stream, type, [&](const Member& member, Operation& o) {
    char* out = device_bytes(to, count);
    if (member.rank != root) {
      o.receives.push_back({root, out, {Kind::broadcast, count}});
      return;
    }
    char* own = device_bytes(from, count);
    o.copies.push_back({own, out, count});
    for (int r = 0; r < member.size; ++r)
      if (r != root) o.sends.push_back({r, own, {Kind::broadcast, count}});
  });
}

const lime::NcclLibrary& lime::nccl() {
  static const NcclLibrary functions{
      ncclGetUniqueId, ncclCommInitRankConfig, ncclCommFinalize,   ncclCommDestroy,
      ncclCommAbort,   ncclCommGetAsyncError,  ncclGetErrorString, ncclGetLastError,
      ncclGroupStart,  ncclGroupEnd,           ncclSend,           ncclRecv,
      ncclAllGather,   ncclBroadcast};
  return functions;
}
