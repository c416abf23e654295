#include "parallel/comm_nccl.h"

#include <exception>
#include <string>
#include <utility>

#include "parallel/comm_checks.h"
#include "parallel/nccl_channel.h"
#include "parallel/reduce_parts.h"

namespace lime {
namespace {

using Call = NcclChannel::Call;

class NcclWork final : public Work {
 public:
  NcclWork(std::shared_ptr<NcclChannel> channel, const Call& call)
      : channel_(std::move(channel)), collective_(channel_->started(call)) {}
  // Left by an exception, the other ranks may never do their part: nobody must wait for them, nor for the
  // device that does, as whoever frees its memory would.
  ~NcclWork() override {
    if (waited_ || channel_->failed()) return;
    std::uncaught_exceptions() > exceptions_ ? channel_->abandon() : wait();
  }
  bool test() override { return waited_ || channel_->has_ended(*collective_); }
  void wait() override {
    if (!waited_) channel_->make_user_wait_for(*collective_);
    waited_ = true;
  }

 private:
  std::shared_ptr<NcclChannel> channel_;
  std::shared_ptr<NcclCollective> collective_;
  bool waited_ = false;
  int exceptions_ = std::uncaught_exceptions();
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Communicator& host, Context& ctx, const NcclLimits& limits)
      : host_(host),
        limits_(limits),
        arrivals_(ctx.device(), DType::i64, 1, host.size()),
        channel_(std::make_shared<NcclChannel>(host, ctx, limits)) {}

  int rank() const override { return channel_->rank; }
  int size() const override { return channel_->size; }
  const char* name() const override { return "nccl"; }
  Device device() const override { return channel_->device(); }

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
  Arena& arena() { return channel_->ctx().arena(); }

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
    cuda::reduce_parts(channel_->ctx(), dtype, op, {own, others, rank(), size()}, part, out);
  }

  Communicator& host_;
  NcclLimits limits_;
  Tensor arrivals_;  // for barriers
  std::shared_ptr<NcclChannel> channel_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Context& ctx,
                                                     const NcclLimits& limits) {
  return std::make_unique<NcclCommunicator>(host, ctx, limits);
}

}  // namespace lime
