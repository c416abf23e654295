#include "parallel/comm_staged.h"

#include <exception>
#include <utility>
#include <vector>

#include "parallel/comm_checks.h"
#include "runtime/host_staging.h"

namespace lime {
namespace {

using BlockPtr = std::unique_ptr<HostStaging::Block>;

// Memory and stream that a communicator, its duplicates and their works share.
struct Stage {
  explicit Stage(Context& context) : ctx(context), memory(context.device()) {}
  Context& ctx;
  HostStaging memory;
};

// A block of host memory as a view like `v`.
View on_host(const HostStaging::Block& block, const ConstView& v) {
  return {block.memory.data(), v.dtype(), Device{}, v.rows(), v.cols(), v.cols()};
}

class StagedWork final : public Work {
 public:
  // `in` is read by `work`; `out` too, which becomes `result` when it is done.
  StagedWork(std::shared_ptr<Stage> stage, WorkPtr work, BlockPtr in, BlockPtr out, View result)
      : stage_(std::move(stage)),
        work_(std::move(work)),
        in_(std::move(in)),
        out_(std::move(out)),
        result_(result) {}

  ~StagedWork() override {
    if (!work_) return;
    std::uncaught_exceptions() > exceptions_ ? abandon() : wait();
  }

  bool test() override {
    if (work_ && guarded([this] { return work_->test(); })) finish();
    return !work_;
  }
  void wait() override {
    if (!work_) return;
    guarded([this] { work_->wait(); });
    finish();
  }

 private:
  template <typename F>
  auto guarded(F f) -> decltype(f()) {
    try {
      return f();
    } catch (...) {
      abandon();
      throw;
    }
  }
  // Messages may still arrive: the memory must stay until the process ends.
  void abandon() {
    work_.reset();
    static auto& kept = *new std::vector<BlockPtr>;
    kept.push_back(std::move(in_));
    kept.push_back(std::move(out_));
  }
  void finish() {
    work_.reset();
    cuda::Stream& stream = stage_->ctx.stream();
    if (out_) {
      stream.to_device(out_->memory.data(), result_.bytes(), result_.raw(), result_.bytes(),
                       {1, result_.bytes()});
      stage_->memory.give_back(std::move(out_), stream);
    }
    if (in_) stage_->memory.give_back(std::move(in_), stream);
  }

  std::shared_ptr<Stage> stage_;
  WorkPtr work_;  // null once done
  BlockPtr in_, out_;
  View result_;
  int exceptions_ = std::uncaught_exceptions();
};

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> host, std::shared_ptr<Stage> stage)
      : host_(std::move(host)), stage_(std::move(stage)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  const char* name() const override { return "staged"; }
  Device device() const override { return stage_->ctx.device(); }

  WorkPtr all_reduce(View buffer, ReduceOp op) override {
    check_buffer(*this, buffer, "all_reduce");
    BlockPtr block = fetch(buffer);
    WorkPtr work = host_->all_reduce(on_host(*block, buffer), op);
    return under_way(std::move(work), nullptr, std::move(block), buffer);
  }
  WorkPtr all_gather(ConstView in, View out) override {
    check_all_gather(*this, in, out);
    BlockPtr from = fetch(in), to = stage_->memory.take(out.bytes());
    WorkPtr work = host_->all_gather(on_host(*from, in), on_host(*to, out));
    return under_way(std::move(work), std::move(from), std::move(to), out);
  }
  WorkPtr reduce_scatter(ConstView in, View out) override {
    check_reduce_scatter(*this, in, out);
    BlockPtr from = fetch(in), to = stage_->memory.take(out.bytes());
    WorkPtr work = host_->reduce_scatter(on_host(*from, in), on_host(*to, out));
    return under_way(std::move(work), std::move(from), std::move(to), out);
  }
  WorkPtr all_to_all_v(ConstView send, std::span<const int64_t> send_counts, View recv,
                       std::span<const int64_t> recv_counts) override {
    check_all_to_all_v(*this, send, send_counts, recv, recv_counts);
    BlockPtr from = fetch(send), to = stage_->memory.take(recv.bytes());
    WorkPtr work = host_->all_to_all_v(on_host(*from, send), send_counts, on_host(*to, recv), recv_counts);
    return under_way(std::move(work), std::move(from), std::move(to), recv);
  }
  WorkPtr broadcast(View buffer, int root) override {
    check_buffer(*this, buffer, "broadcast");
    check_root(*this, root, "broadcast");
    BlockPtr block = fetch(buffer);
    WorkPtr work = host_->broadcast(on_host(*block, buffer), root);
    return under_way(std::move(work), nullptr, std::move(block), buffer);
  }
  WorkPtr barrier() override {
    stage_->ctx.synchronize();
    return host_->barrier();
  }
  std::unique_ptr<Communicator> duplicate() override {
    return std::make_unique<StagedCommunicator>(host_->duplicate(), stage_);
  }

 private:
  // The values on the host, when all work before is done.
  BlockPtr fetch(const ConstView& v) {
    BlockPtr block = stage_->memory.take(v.bytes());
    stage_->ctx.stream().to_host(v.raw(), v.bytes(), block->memory.data(), v.bytes(), {1, v.bytes()});
    stage_->ctx.synchronize();
    return block;
  }
  WorkPtr under_way(WorkPtr work, BlockPtr in, BlockPtr out, View result) {
    return std::make_unique<StagedWork>(stage_, std::move(work), std::move(in), std::move(out), result);
  }

  std::unique_ptr<Communicator> host_;
  std::shared_ptr<Stage> stage_;
};

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(Communicator& host, Context& ctx) {
  return std::make_unique<StagedCommunicator>(host.duplicate(), std::make_shared<Stage>(ctx));
}

}  // namespace lime
