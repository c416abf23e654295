// NCCL's communicators of one process, and the order of their collectives. Internal to comm_nccl.cc.
//
// All collectives of a device, of whatever communicator, are given to one stream: NCCL's kernels wait for
// each other's ranks on the device, so two that run at once on one rank, and one after the other on another,
// may wait for ever (NCCL's guide, "Using multiple NCCL communicators concurrently"). One stream is one
// order; all ranks have the same, since they make the same calls.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "parallel/comm_nccl.h"
#include "parallel/nccl_library.h"
#include "runtime/device_watch.h"

namespace lime {

class NcclChannel;

// A collective that a stream was given. What it is, for messages.
struct NcclCollective {
  struct Call {
    const char* name;
    int64_t elements;
    DType dtype;
  };
  NcclChannel* channel;
  Call call;
  cuda::Event done;
  cuda::Watched::Clock::time_point begun = cuda::Watched::Clock::now();
  bool ended = false;  // seen to be done
};

// The collectives of a device: one for all communicators that live, made by the first.
class NcclQueue final : public cuda::Watched {
 public:
  static std::shared_ptr<NcclQueue> of(Device);

  explicit NcclQueue(Device device) : ctx(device) {}
  // What the stream was given last is a collective of this channel.
  std::shared_ptr<NcclCollective> add(NcclChannel&, const NcclCollective::Call&);
  bool has(const NcclChannel&) const;

  bool look(Clock::time_point waits_since) override;
  void abandon() noexcept override { abandon(nullptr); }
  // Ends what is under way, and all communicators that it is of, with this one beside them, as one group:
  // each abort of NCCL waits for the device, and so for what other communicators have in the stream, which
  // ends no sooner than they are told, too.
  void abandon(NcclChannel* also) noexcept;

  Context ctx;  // of the collectives: their stream, and scratch memory

 private:
  std::deque<std::shared_ptr<NcclCollective>> under_way_;
  Clock::time_point last_end_{};
};

// NCCL's communicator of the ranks of `host`.
class NcclChannel {
 public:
  using Call = NcclCollective::Call;
  using Clock = NcclQueue::Clock;

  NcclChannel(Communicator& host, Context& user, const NcclLimits&);
  // Ends with the other ranks' (collective); aborts if an exception passes or they do not come.
  ~NcclChannel();
  NcclChannel(const NcclChannel&) = delete;
  NcclChannel& operator=(const NcclChannel&) = delete;

  // A collective: begin(), groups and kernels on the queue's stream, started().
  void begin(const Call&);  // it comes after what the user's stream holds
  // Messages that `enqueue` starts, together. It is given a function that takes each call's result.
  template <typename Enqueue>
  void group(const Call& call, Enqueue&& enqueue) {
    group(call, limits_.collective_s, enqueue);
  }
  std::shared_ptr<NcclCollective> started(const Call& call) { return queue_->add(*this, call); }

  bool has_ended(const NcclCollective&);
  // The user's stream waits; the host does not.
  void make_user_wait_for(const NcclCollective&);

  bool failed() const { return !comm_; }
  // Ends what is under way, whatever the other ranks do. Nothing can be started any more.
  void abandon() noexcept;
  // One look at a collective under way, or that has ended: perhaps because it failed. `since`: when the host
  // began to wait for nothing but this.
  void check(const Call&, Clock::time_point since, bool ended);

  Context& ctx() { return queue_->ctx; }
  Device device() const { return queue_->ctx.device(); }
  cudaStream_t stream() const { return static_cast<cudaStream_t>(queue_->ctx.stream().handle()); }
  ncclComm_t comm() const { return comm_; }

  const int rank, size;
  Context& user;

 private:
  friend class NcclQueue;

  template <typename Enqueue>
  void group(const Call& call, double limit_s, Enqueue&& enqueue) {
    ncclResult_t first = nccl().group_start();
    enqueue([&first](ncclResult_t result) {
      if (first == ncclSuccess || first == ncclInProgress) first = result;
    });
    const ncclResult_t end = nccl().group_end();
    settle(first == ncclSuccess || first == ncclInProgress ? end : first, call, limit_s);
  }
  ncclUniqueId shared_id(Communicator& host) const;
  // NCCL joins two ranks when a collective first needs it, and the host that gives it waits there until the
  // other gives it, too. That is done here, so that no step waits for it.
  void join_all(const Call&);
  void abort() noexcept;
  // Waits until NCCL has taken what it was given.
  void settle(ncclResult_t result, const Call& call, double limit_s);
  std::string describe(const Call&) const;
  void check_alive(const Call&) const;
  [[noreturn]] void fail(const Call&, const std::string& reason);
  bool finished_all() noexcept;
  bool finalized() const;

  const NcclLimits limits_;
  std::shared_ptr<NcclQueue> queue_;
  ncclComm_t comm_ = nullptr;  // null once it failed
};

}  // namespace lime
