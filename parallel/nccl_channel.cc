#include "parallel/nccl_channel.h"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace lime {

namespace {

double seconds_since(NcclQueue::Clock::time_point begin) {
  return std::chrono::duration<double>(NcclQueue::Clock::now() - begin).count();
}

std::string no_end(double limit_s) {
  return str("no end after ", limit_s, " s: a rank is gone or calls another collective");
}

}  // namespace

std::shared_ptr<NcclQueue> NcclQueue::of(Device device) {
  static auto& queues = *new std::map<int, std::weak_ptr<NcclQueue>>;
  std::weak_ptr<NcclQueue>& known = queues[device.index];
  std::shared_ptr<NcclQueue> queue = known.lock();
  if (!queue) {
    queue = std::make_shared<NcclQueue>(device);
    cuda::watch(queue);
    known = queue;
  }
  return queue;
}

std::shared_ptr<NcclCollective> NcclQueue::add(NcclChannel& channel, const NcclCollective::Call& call) {
  auto added =
      std::shared_ptr<NcclCollective>(new NcclCollective{&channel, call, cuda::Event(ctx.device().index)});
  added->done.record(ctx.stream());
  under_way_.push_back(added);
  return added;
}

bool NcclQueue::has(const NcclChannel& channel) const {
  return std::any_of(under_way_.begin(), under_way_.end(),
                     [&](const auto& c) { return c->channel == &channel; });
}

bool NcclQueue::look(Clock::time_point waits_since) try {
  while (!under_way_.empty()) {
    const std::shared_ptr<NcclCollective> first = under_way_.front();
    const bool ended = first->done.reached();
    first->channel->check(first->call, std::max(waits_since, last_end_), ended);
    if (!ended) return true;
    first->ended = true;
    last_end_ = Clock::now();
    under_way_.pop_front();
  }
  return false;
} catch (...) {
  abandon();
  throw;
}

void NcclQueue::abandon(NcclChannel* also) noexcept {
  std::set<NcclChannel*> channels;
  for (const auto& collective : std::exchange(under_way_, {})) channels.insert(collective->channel);
  if (also) channels.insert(also);
  if (channels.empty()) return;
  nccl().group_start();
  for (NcclChannel* channel : channels) channel->abort();
  nccl().group_end();
}

NcclChannel::NcclChannel(Communicator& host, Context& of_user, const NcclLimits& limits)
    : rank(host.rank()),
      size(host.size()),
      user(of_user),
      limits_(limits),
      queue_(NcclQueue::of(of_user.device())) {
  ncclUniqueId id = shared_id(host);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ctx().stream().activate();
  const Call call{"the meeting of all ranks", 0, DType::f32};
  settle(nccl().init_rank(&comm_, size, id, rank, &config), call, limits_.connect_s);
  join_all(call);
}

void NcclChannel::join_all(const Call& call) try {
  const Arena::Scope scope(ctx().arena());
  auto* own = static_cast<char*>(ctx().arena().alloc(DType::i64, 1, size).raw());
  auto* all = static_cast<char*>(ctx().arena().alloc(DType::i64, 1, size).raw());
  constexpr size_t bytes = sizeof(int64_t);
  group(call, limits_.connect_s, [&](auto note) {
    for (int r = 0; r < size; ++r) {
      const size_t at = bytes * static_cast<size_t>(r);
      note(nccl().send(own + at, bytes, ncclUint8, r, comm_, stream()));
      note(nccl().recv(all + at, bytes, ncclUint8, r, comm_, stream()));
    }
  });
  group(call, limits_.connect_s,
        [&](auto note) { note(nccl().all_gather(own, all, bytes, ncclUint8, comm_, stream())); });
  group(call, limits_.connect_s,
        [&](auto note) { note(nccl().broadcast(all, all, bytes, ncclUint8, 0, comm_, stream())); });
  cuda::Event done(device().index);
  done.record(ctx().stream());
  for (const auto begin = Clock::now(); !done.reached(); sched_yield())
    if (seconds_since(begin) > limits_.connect_s) fail(call, no_end(limits_.connect_s));
} catch (...) {
  abandon();
  throw;
}

NcclChannel::~NcclChannel() {
  if (comm_ && std::uncaught_exceptions() == 0 && finished_all() && finalized()) {
    nccl().destroy(comm_);
  } else {
    abandon();
  }
}

void NcclChannel::abandon() noexcept {
  if (comm_) queue_->abandon(this);
}

void NcclChannel::abort() noexcept {
  if (comm_) nccl().abort(comm_);
  comm_ = nullptr;
}

void NcclChannel::begin(const Call& call) {
  check_alive(call);
  cuda::Event before(device().index);
  before.record(user.stream());
  ctx().stream().wait(before);
  ctx().stream().activate();
}

void NcclChannel::settle(ncclResult_t result, const Call& call, double limit_s) {
  const auto begin = Clock::now();
  while (result == ncclInProgress) {
    if (seconds_since(begin) > limit_s) fail(call, no_end(limit_s));
    sched_yield();
    const ncclResult_t asked = nccl().async_error(comm_, &result);
    if (asked != ncclSuccess) result = asked;
  }
  if (result != ncclSuccess) fail(call, nccl().error_string(result));
}

bool NcclChannel::has_ended(const NcclCollective& collective) {
  if (collective.ended) return true;
  check_alive(collective.call);
  queue_->look(collective.begun);
  return collective.ended;
}

void NcclChannel::make_user_wait_for(const NcclCollective& collective) {
  if (collective.ended) return;
  check_alive(collective.call);
  user.stream().wait(collective.done);
}

void NcclChannel::check(const Call& call, Clock::time_point since, bool ended) {
  check_alive(call);
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = nccl().async_error(comm_, &state);
  if (asked != ncclSuccess) state = asked;
  if (state != ncclSuccess && state != ncclInProgress) fail(call, nccl().error_string(state));
  if (!ended && seconds_since(since) > limits_.collective_s) fail(call, no_end(limits_.collective_s));
}

// Rank 0's id, on all ranks; or the reason of the lowest rank that has no library.
ncclUniqueId NcclChannel::shared_id(Communicator& host) const {
  std::string reason;
  ncclUniqueId id{};
  try {
    const ncclResult_t result = rank == 0 ? nccl().unique_id(&id) : (nccl(), ncclSuccess);
    if (result != ncclSuccess) reason = str("ncclGetUniqueId failed: ", nccl().error_string(result));
  } catch (const UserError& e) {
    reason = e.what();
  }
  int64_t lowest = reason.empty() ? size : rank;
  host.all_reduce(View(&lowest, 1, 1), ReduceOp::min)->wait();
  std::vector<char> bytes(reason.begin(), reason.end());
  if (lowest == size) bytes.assign(id.internal, id.internal + sizeof id.internal);
  broadcast_bytes(host, bytes, lowest == size ? 0 : static_cast<int>(lowest));
  if (lowest < size) throw UserError(std::string(bytes.begin(), bytes.end()));
  std::memcpy(id.internal, bytes.data(), sizeof id.internal);
  return id;
}

std::string NcclChannel::describe(const Call& call) const {
  return str(call.name, " of ", call.elements, " ", to_string(call.dtype), " on rank ", rank, "/", size, " (",
             to_string(device()), ")");
}

void NcclChannel::check_alive(const Call& call) const {
  if (failed()) throw Error(str("nccl: ", describe(call), " after an earlier failure"));
}

void NcclChannel::fail(const Call& call, const std::string& reason) {
  const char* last = comm_ ? nccl().last_error(comm_) : nullptr;
  std::string detail = last && *last ? str(": ", last) : "";
  while (!detail.empty() && detail.back() == '\n') detail.pop_back();
  abandon();
  throw Error(str("nccl: ", describe(call), " failed: ", reason, detail, " (NCCL_DEBUG=INFO tells more)"));
}

// Waits for the collectives that were given.
bool NcclChannel::finished_all() noexcept try {
  for (const auto begin = Clock::now(); queue_->has(*this);) {
    queue_->look(begin);
    sched_yield();
  }
  return !failed();
} catch (const std::exception&) {  // they are gone: so is this
  return false;
}

// All ranks come here with all collectives done; one that does not is not waited for.
bool NcclChannel::finalized() const {
  ncclResult_t state = nccl().finalize(comm_);
  for (const auto begin = Clock::now();
       state == ncclInProgress && seconds_since(begin) < std::min(30.0, limits_.collective_s);) {
    sched_yield();
    if (nccl().async_error(comm_, &state) != ncclSuccess) return false;
  }
  return state == ncclSuccess;
}

}  // namespace lime
