#include "parallel/comm_nccl.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "parallel/comm_checks.h"
#include "parallel/nccl_library.h"
#include "parallel/reduce_parts.h"

namespace lime {
namespace {

using Clock = std::chrono::steady_clock;

// What is under way, for messages.
struct Call {
  const char* name;
  int64_t elements;
  DType dtype;
};

// NCCL's communicator, with the stream and the scratch memory of its collectives.
class Channel {
 public:
  Channel(Communicator& host, Context& of_user, const NcclLimits& limits)
      : rank(host.rank()), size(host.size()), user(of_user), ctx(of_user.device()), limits_(limits) {
    ncclUniqueId id = shared_id(host);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ctx.stream().activate();
    const Call call{"the meeting of all ranks", 0, DType::f32};
    settle(nccl().init_rank(&comm_, size, id, rank, &config), call, limits_.connect_s);
  }

  ~Channel() {
    if (!comm_) return;
    if (std::uncaught_exceptions() == 0 && finalized()) {
      nccl().destroy(comm_);
    } else {
      abandon();
    }
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  bool failed() const { return !comm_; }
  // Ends what is under way, whatever the other ranks do. Nothing can be started any more.
  void abandon() {
    if (comm_) nccl().abort(comm_);
    comm_ = nullptr;
  }
  cudaStream_t stream() const { return static_cast<cudaStream_t>(ctx.stream().handle()); }
  ncclComm_t comm() const { return comm_; }

  // A collective begins: it comes after what the user's stream holds.
  void begin(const Call& call) {
    check_alive(call);
    cuda::Event before(ctx.device().index);
    before.record(user.stream());
    ctx.stream().wait(before);
    ctx.stream().activate();
  }

  // Messages that `enqueue` starts, together. It is given a function that takes each call's result.
  template <typename Enqueue>
  void group(const Call& call, Enqueue&& enqueue) {
    ncclResult_t first = nccl().group_start();
    enqueue([&first](ncclResult_t result) {
      if (first == ncclSuccess || first == ncclInProgress) first = result;
    });
    const ncclResult_t end = nccl().group_end();
    settle(first == ncclSuccess || first == ncclInProgress ? end : first, call, limits_.collective_s);
  }

  // Waits until NCCL has taken what it was given.
  void settle(ncclResult_t result, const Call& call, double limit_s) {
    const auto begin = Clock::now();
    while (result == ncclInProgress) {
      if (seconds_since(begin) > limit_s) fail(call, str("no end after ", limit_s, " s"));
      sched_yield();
      const ncclResult_t asked = nccl().async_error(comm_, &result);
      if (asked != ncclSuccess) result = asked;
    }
    if (result != ncclSuccess) fail(call, nccl().error_string(result));
  }

  // One look at a collective under way, since `begin`, or that has ended: perhaps because it failed.
  void watch(const Call& call, Clock::time_point begin, bool ended) {
    check_alive(call);
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = nccl().async_error(comm_, &state);
    if (asked != ncclSuccess) state = asked;
    if (state != ncclSuccess && state != ncclInProgress) fail(call, nccl().error_string(state));
    if (!ended && seconds_since(begin) > limits_.collective_s)
      fail(call,
           str("no end after ", limits_.collective_s, " s: a rank is gone or calls another collective"));
  }

  const int rank, size;
  Context& user;
  Context ctx;  // of the collectives: a stream of their own

 private:
  static double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  // Rank 0's id, on all ranks; or the reason of the lowest rank that has no library.
  ncclUniqueId shared_id(Communicator& host) const {
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

  std::string describe(const Call& call) const {
    return str(call.name, " of ", call.elements, " ", to_string(call.dtype), " on rank ", rank, "/", size,
               " (", to_string(ctx.device()), ")");
  }
  void check_alive(const Call& call) const {
    if (failed()) throw Error(str("nccl: ", describe(call), " after an earlier failure"));
  }

  [[noreturn]] void fail(const Call& call, const std::string& reason) {
    const char* last = comm_ ? nccl().last_error(comm_) : nullptr;
    std::string detail = last && *last ? str(": ", last) : "";
    while (!detail.empty() && detail.back() == '\n') detail.pop_back();
    abandon();
    throw Error(str("nccl: ", describe(call), " failed: ", reason, detail, " (NCCL_DEBUG=INFO tells more)"));
  }

  // All ranks come here with all collectives done; one that does not is not waited for.
  bool finalized() const {
    ncclResult_t state = nccl().finalize(comm_);
    for (const auto begin = Clock::now();
         state == ncclInProgress && seconds_since(begin) < std::min(30.0, limits_.collective_s);) {
      sched_yield();
      if (nccl().async_error(comm_, &state) != ncclSuccess) return false;
    }
    return state == ncclSuccess;
  }

  const NcclLimits limits_;
  ncclComm_t comm_ = nullptr;  // null once it failed
};

class NcclWork final : public Work {
 public:
  NcclWork(std::shared_ptr<Channel> channel, const Call& call)
      : channel_(std::move(channel)), call_(call), done_(std::in_place, channel_->ctx.device().index) {
    done_->record(channel_->ctx.stream());
  }
  // Left by an exception, the other ranks may never do their part: nobody must wait for them, nor for the
  // device that does, as whoever frees its memory would.
  ~NcclWork() override {
    if (!done_ || channel_->failed()) return;
    std::uncaught_exceptions() > exceptions_ ? channel_->abandon() : wait();
  }
  bool test() override {
    if (!done_) return true;
    const bool ended = done_->reached();
    channel_->watch(call_, begin_, ended);
    if (!ended) return false;
    done_.reset();
    return true;
  }
  void wait() override {
    for (begin_ = Clock::now(); !test();) sched_yield();
  }

 private:
  std::shared_ptr<Channel> channel_;
  Call call_;
  std::optional<cuda::Event> done_;  // empty once it was reached
  Clock::time_point begin_ = Clock::now();
  int exceptions_ = std::uncaught_exceptions();
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Communicator& host, Context& ctx, const NcclLimits& limits)
      : host_(host),
        limits_(limits),
        arrivals_(ctx.device(), DType::i64, 1, host.size()),
        channel_(std::make_shared<Channel>(host, ctx, limits)) {}

  int rank() const override { return channel_->rank; }
  int size() const override { return channel_->size; }
  const char* name() const override { return "nccl"; }
  Device device() const override { return channel_->ctx.device(); }

  WorkPtr all_reduce(View buffer, ReduceOp op) override {
    check_buffer(*this, buffer, "all_reduce");
    const Call call = begin("all_reduce", buffer);
    const Arena::Scope scope(arena());
    const int64_t n = buffer.size(), value = bytes_of(buffer.dtype());
    auto* data = static_cast<char*>(buffer.raw());
    const bool direct = n * value * (size() - 1) <= direct_bytes;
    const auto first = [&](int r) { return direct ? 0 : n * r / size(); };
    const auto count = [&](int r) { return direct ? n : n * (r + 1) / size() - n * r / size(); };
    char* own = data + first(rank()) * value;
    reduce_chunks(call, op, buffer.dtype(), data, first, count, own, own);
    if (direct) return started(call);
    channel_->group(call, [&](auto note) {
      for_peers([&](int r) {
        if (count(r) > 0) note(receive(data + first(r) * value, count(r) * value, r));
        if (count(rank()) > 0) note(send(own, count(rank()) * value, r));
      });
    });
    return started(call);
  }

  WorkPtr reduce_scatter(ConstView in, View out) override {
    check_reduce_scatter(*this, in, out);
    const Call call = begin("reduce_scatter", in);
    const Arena::Scope scope(arena());
    const auto* data = static_cast<const char*>(in.raw());
    const auto first = [&](int r) { return r * out.size(); };
    const auto count = [&](int) { return out.size(); };
    reduce_chunks(call, ReduceOp::sum, in.dtype(), data, first, count,
                  data + first(rank()) * bytes_of(in.dtype()), out.raw());
    return started(call);
  }

  WorkPtr all_gather(ConstView in, View out) override {
    check_all_gather(*this, in, out);
    const Call call = begin("all_gather", in);
    const auto bytes = static_cast<size_t>(in.size() * bytes_of(in.dtype()));
    channel_->group(call, [&](auto note) {
      if (bytes > 0)
        note(nccl().all_gather(in.raw(), out.raw(), bytes, ncclUint8, channel_->comm(), channel_->stream()));
    });
    return started(call);
  }

  WorkPtr all_to_all_v(ConstView from, std::span<const int64_t> send_counts, View to,
                       std::span<const int64_t> recv_counts) override {
    check_all_to_all_v(*this, from, send_counts, to, recv_counts);
    const Call call = begin("all_to_all_v", from);
    const int64_t value = bytes_of(from.dtype());
    channel_->group(call, [&](auto note) {
      const auto* out = static_cast<const char*>(from.raw());
      auto* in = static_cast<char*>(to.raw());
      for (size_t r = 0; r < send_counts.size(); ++r) {
        const int64_t sent = send_counts[r] * value, received = recv_counts[r] * value;
        if (sent > 0) note(send(out, sent, static_cast<int>(r)));
        if (received > 0) note(receive(in, received, static_cast<int>(r)));
        out += sent;
        in += received;
      }
    });
    return started(call);
  }

  WorkPtr broadcast(View buffer, int root) override {
    check_buffer(*this, buffer, "broadcast");
    check_root(*this, root, "broadcast");
    const Call call = begin("broadcast", buffer);
    const auto bytes = static_cast<size_t>(buffer.size() * bytes_of(buffer.dtype()));
    channel_->group(call, [&](auto note) {
      if (bytes > 0)
        note(nccl().broadcast(buffer.raw(), buffer.raw(), bytes, ncclUint8, root, channel_->comm(),
                              channel_->stream()));
    });
    return started(call);
  }

  WorkPtr barrier() override {
    const Call call = begin("barrier", ConstView());
    auto* all = static_cast<char*>(arrivals_.view().raw());
    channel_->group(call, [&](auto note) {
      constexpr size_t bytes = sizeof(int64_t);
      note(nccl().all_gather(all + bytes * static_cast<size_t>(rank()), all, bytes, ncclUint8,
                             channel_->comm(), channel_->stream()));
    });
    return started(call);
  }

  std::unique_ptr<Communicator> duplicate() override {
    return std::make_unique<NcclCommunicator>(host_, channel_->user, limits_);
  }

 private:
  // all_reduce of at most this many bytes received a rank takes one exchange instead of two.
  static constexpr int64_t direct_bytes = 256 << 10;

  static int64_t bytes_of(DType dtype) { return static_cast<int64_t>(size_of(dtype)); }
  Arena& arena() { return channel_->ctx.arena(); }

  Call begin(const char* name, const ConstView& v) {
    const Call call{name, v.size(), v.dtype()};
    channel_->begin(call);
    return call;
  }
  WorkPtr started(const Call& call) { return std::make_unique<NcclWork>(channel_, call); }

  ncclResult_t send(const char* data, int64_t bytes, int to) const {
    return nccl().send(data, static_cast<size_t>(bytes), ncclUint8, to, channel_->comm(), channel_->stream());
  }
  ncclResult_t receive(char* data, int64_t bytes, int from) const {
    return nccl().recv(data, static_cast<size_t>(bytes), ncclUint8, from, channel_->comm(),
                       channel_->stream());
  }
  // The ranks other than this one, each starting with its right neighbour.
  template <typename F>
  void for_peers(F&& f) const {
    for (int i = 1; i < size(); ++i) f((rank() + i) % size());
  }

  // out = op over the ranks' chunks of this rank's number, this rank's at `own`; chunk r of `data` is
  // elements [first(r), first(r) + count(r)).
  template <typename First, typename Count>
  void reduce_chunks(const Call& call, ReduceOp op, DType dtype, const char* data, First&& first,
                     Count&& count, const void* own, void* out) {
    const int64_t part = count(rank()), value = bytes_of(dtype);
    auto* others = static_cast<char*>(arena().alloc(dtype, std::max(size() - 1, 1), part).raw());
    channel_->group(call, [&](auto note) {
      for_peers([&](int r) {
        if (count(r) > 0) note(send(data + first(r) * value, count(r) * value, r));
        if (part > 0) note(receive(others + (r < rank() ? r : r - 1) * part * value, part * value, r));
      });
    });
    cuda::reduce_parts(channel_->ctx, dtype, op, {own, others, rank(), size()}, part, out);
  }

  Communicator& host_;
  NcclLimits limits_;
  Tensor arrivals_;  // for barriers
  std::shared_ptr<Channel> channel_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Context& ctx,
                                                     const NcclLimits& limits) {
  return std::make_unique<NcclCommunicator>(host, ctx, limits);
}

}  // namespace lime
