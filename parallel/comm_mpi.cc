#include "parallel/comm_mpi.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "parallel/comm_checks.h"
#include "parallel/mpi_engine.h"
#include "runtime/error.h"

namespace lime {

void check_mpi(int code, const char* call, const std::string& detail) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> reason{};
  int length = 0;
  MPI_Error_string(code, reason.data(), &length);
  throw Error(str(call, " failed: ", reason.data(), detail));
}

namespace {

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm parent, std::shared_ptr<MpiEngine> engine, const MpiTuning& tuning)
      : engine_(std::move(engine)), tuning_(tuning) {
    check_mpi(MPI_Comm_dup(parent, &comm_), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
    int* tag_limit = nullptr;
    int found = 0;
    MPI_Comm_get_attr(comm_, MPI_TAG_UB, &tag_limit, &found);
    tags_ = found ? *tag_limit : 32767;
  }
  ~MpiCommunicator() override {
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const char* name() const override { return "mpi"; }

  WorkPtr all_reduce(View buffer, ReduceOp reduce) override {
    check_buffer(*this, buffer, "all_reduce");
    const int64_t n = buffer.size(), bytes = bytes_of(buffer);
    const bool direct = bytes * (size_ - 1) <= tuning_.direct_bytes;
    const auto value = static_cast<int64_t>(size_of(buffer.dtype()));
    const auto range = [&](int r) { return direct ? std::pair{int64_t{0}, bytes} : chunk(n, r, value); };
    auto* data = static_cast<char*>(buffer.raw());
    MpiOperation* op = reduction("all_reduce", buffer, reduce, range(rank_).second / value);
    op->buffer = data;
    op->then = direct ? MpiThen::reduce : MpiThen::reduce_and_share;
    exchange_parts(*op, data, range, data + range(rank_).first);
    return started(op);
  }

  WorkPtr reduce_scatter(ConstView in, View out) override {
    check_reduce_scatter(*this, in, out);
    MpiOperation* op = reduction("reduce_scatter", in, ReduceOp::sum, out.size());
    op->then = MpiThen::reduce;
    const int64_t bytes = bytes_of(out);
    const auto* from = static_cast<const char*>(in.raw());
    if (bytes > 0) std::memcpy(out.raw(), from + rank_ * bytes, static_cast<size_t>(bytes));
    exchange_parts(
        *op, from,
        [&](int r) {
          return std::pair{r * bytes, bytes};
        },
        out.raw());
    return started(op);
  }

  WorkPtr all_gather(ConstView in, View out) override {
    check_all_gather(*this, in, out);
    MpiOperation* op = operation("all_gather", in, 0);
    const auto* from = static_cast<const char*>(in.raw());
    auto* to = static_cast<char*>(out.raw());
    const int64_t bytes = bytes_of(in);
    op->for_peers([&](int r) { op->receive(to + r * bytes, bytes, r); });
    op->for_peers([&](int r) { op->send(from, bytes, r); });
    if (bytes > 0) std::memmove(to + rank_ * bytes, from, static_cast<size_t>(bytes));
    return started(op);
  }

  WorkPtr all_to_all_v(ConstView send, std::span<const int64_t> send_counts, View recv,
                       std::span<const int64_t> recv_counts) override {
    check_all_to_all_v(*this, send, send_counts, recv, recv_counts);
    MpiOperation* op = operation("all_to_all_v", send, 0);
    const auto value = static_cast<int64_t>(size_of(send.dtype()));
    const auto* from = static_cast<const char*>(send.raw());
    auto* to = static_cast<char*>(recv.raw());
    op->for_peers(
        [&](int r) { op->receive(to + offset(recv_counts, r) * value, count(recv_counts, r) * value, r); });
    op->for_peers(
        [&](int r) { op->send(from + offset(send_counts, r) * value, count(send_counts, r) * value, r); });
    if (const int64_t own = count(send_counts, rank_); own > 0) {
      std::memcpy(to + offset(recv_counts, rank_) * value, from + offset(send_counts, rank_) * value,
                  static_cast<size_t>(own * value));
    }
    return started(op);
  }

  WorkPtr broadcast(View buffer, int root) override {
    check_buffer(*this, buffer, "broadcast");
    check_root(*this, root, "broadcast");
    MpiOperation* op = operation("broadcast", buffer, 0);
    auto* data = static_cast<char*>(buffer.raw());
    for (int64_t bytes = bytes_of(buffer), n; bytes > 0; data += n, bytes -= n) {
      n = std::min(bytes, tuning_.max_message_bytes);
      MPI_Request request;
      check_mpi(MPI_Ibcast(data, static_cast<int>(n), MPI_BYTE, root, comm_, &request), "MPI_Ibcast",
                op->describe());
      op->add_request(request);
    }
    return started(op);
  }

  WorkPtr barrier() override {
    MpiOperation* op = operation("barrier", ConstView(), 0);
    MPI_Request request;
    check_mpi(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier", op->describe());
    op->add_request(request);
    return started(op);
  }

  std::unique_ptr<Communicator> duplicate() override {
    return std::make_unique<MpiCommunicator>(comm_, engine_, tuning_);
  }
  double waited_ms() const override { return engine_->waited_ms(); }

  std::unique_ptr<Communicator> split(int colour) {
    MPI_Comm part = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(comm_, colour < 0 ? MPI_UNDEFINED : colour, rank_, &part), "MPI_Comm_split");
    if (part == MPI_COMM_NULL) return nullptr;
    auto communicator = std::make_unique<MpiCommunicator>(part, engine_, tuning_);
    MPI_Comm_free(&part);  // it has a duplicate
    return communicator;
  }

 private:
  static int64_t bytes_of(const ConstView& v) { return static_cast<int64_t>(v.bytes()); }  // as MPI counts
  static int64_t count(std::span<const int64_t> counts, int r) { return counts[static_cast<size_t>(r)]; }
  static int64_t offset(std::span<const int64_t> counts, int r) {
    int64_t sum = 0;
    for (int i = 0; i < r; ++i) sum += count(counts, i);
    return sum;
  }
  // Offset and length, in bytes, of rank r's chunk of n values.
  std::pair<int64_t, int64_t> chunk(int64_t n, int r, int64_t value) const {
    const int64_t begin = n * r / size_;
    return {begin * value, (n * (r + 1) / size_ - begin) * value};
  }

  MpiOperation* operation(const char* name, const ConstView& v, size_t staging_bytes) {
    MpiOperation* op = engine_->take(staging_bytes);
    op->name = name;
    op->comm = comm_;
    op->rank = rank_;
    op->size = size_;
    op->tag = static_cast<int>(next_tag_++ % tags_);
    op->max_message_bytes = tuning_.max_message_bytes;
    op->dtype = v.dtype();
    op->elements = v.size();
    op->staging.get(staging_bytes);
    return op;
  }

  MpiOperation* reduction(const char* name, const ConstView& v, ReduceOp reduce, int64_t part) {
    MpiOperation* op = operation(name, v, static_cast<size_t>(part * (size_ - 1)) * size_of(v.dtype()));
    op->op = reduce;
    op->part = part;
    return op;
  }

  // Every rank r is sent the run range(r) (offset and length in bytes) of `from`. What comes back will be
  // op.parts, of which this rank's own is `own`.
  template <typename Range>
  void exchange_parts(MpiOperation& op, const char* from, Range&& range, void* own) {
    const int64_t part = op.part * static_cast<int64_t>(size_of(op.dtype));
    char* slot = op.staging.get(0);
    op.parts.resize(static_cast<size_t>(size_));
    op.parts[static_cast<size_t>(rank_)] = own;
    op.for_peers([&](int r) {
      op.parts[static_cast<size_t>(r)] = slot;
      if (part > 0) op.receive(slot, part, r);
      slot += part;
    });
    op.for_peers([&](int r) {
      const auto [begin, bytes] = range(r);
      if (bytes > 0) op.send(from + begin, bytes, r);
    });
  }

  WorkPtr started(MpiOperation* op) {
    engine_->start(op);
    return make_mpi_work(engine_, op);
  }

  std::shared_ptr<MpiEngine> engine_;
  MpiTuning tuning_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  int64_t tags_ = 0, next_tag_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> split_mpi_communicator(Communicator& mpi, int colour) {
  return dynamic_cast<MpiCommunicator&>(mpi).split(colour);
}

std::unique_ptr<Communicator> make_mpi_communicator(const MpiTuning& tuning) {
  return std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, std::make_shared<MpiEngine>(tuning), tuning);
}

}  // namespace lime
