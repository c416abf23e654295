#include <cstring>

#include "parallel/comm_checks.h"
#include "parallel/communicator.h"

namespace lime {
namespace {

class DoneWork final : public Work {
 public:
  bool test() override { return true; }
  void wait() override {}
};

WorkPtr done() { return std::make_unique<DoneWork>(); }

class SelfCommunicator final : public Communicator {
 public:
  explicit SelfCommunicator(Context* ctx) : ctx_(ctx) {}
  Device device() const override { return ctx_ ? ctx_->device() : Device{}; }
  int rank() const override { return 0; }
  int size() const override { return 1; }
  const char* name() const override { return "self"; }

  WorkPtr all_reduce(View buffer, ReduceOp) override {
    check_buffer(*this, buffer, "all_reduce");
    return done();
  }
  WorkPtr all_gather(ConstView in, View out) override {
    check_all_gather(*this, in, out);
    move(in, out);
    return done();
  }
  WorkPtr reduce_scatter(ConstView in, View out) override {
    check_reduce_scatter(*this, in, out);
    move(in, out);
    return done();
  }
  WorkPtr all_to_all_v(ConstView send, std::span<const int64_t> send_counts, View recv,
                       std::span<const int64_t> recv_counts) override {
    check_all_to_all_v(*this, send, send_counts, recv, recv_counts);
    move(send, recv);
    return done();
  }
  WorkPtr broadcast(View buffer, int root) override {
    check_buffer(*this, buffer, "broadcast");
    check_root(*this, root, "broadcast");
    return done();
  }
  WorkPtr barrier() override { return done(); }
  std::unique_ptr<Communicator> duplicate() override { return std::make_unique<SelfCommunicator>(ctx_); }

 private:
  void move(const ConstView& from, View to) const {
    const size_t bytes = from.bytes();
    if (bytes == 0 || from.raw() == to.raw()) return;
    if (device() == Device{}) {
      std::memmove(to.raw(), from.raw(), bytes);
    } else {
      ctx_->stream().copy(from.raw(), to.raw(), bytes);
    }
  }

  Context* ctx_;  // null: host memory
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() { return std::make_unique<SelfCommunicator>(nullptr); }

std::unique_ptr<Communicator> make_self_communicator(Context& ctx) {
  return std::make_unique<SelfCommunicator>(&ctx);
}

}  // namespace lime
