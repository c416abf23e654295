#include "parallel/comm_mpi.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>

#include "parallel/comm_checks.h"
#include "parallel/reduce_parts.h"
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

// What follows when all of an operation's messages have arrived.
enum class Then : uint8_t {
  finish,
  reduce_and_share,  // all_reduce: the parts of this rank's chunk are summed, and the sum goes to all
  reduce,            // reduce_scatter, and all_reduce in one exchange: the parts are summed
};

struct Operation {
  const char* name = "";
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0, size = 1, tag = 0;
  int64_t max_message_bytes = 0;
  DType dtype = DType::f32;
  int64_t elements = 0;  // of the call, for messages
  ReduceOp op = ReduceOp::sum;
  Then then = Then::finish;
  char* buffer = nullptr;    // all_reduce: the caller's
  int64_t part = 0;          // elements of a part, and of their sum
  std::vector<void*> parts;  // by rank: in `staging`, but this rank's own where the sum goes
  Staging staging;
  std::vector<MPI_Request> requests;
  std::vector<int64_t> expected;  // bytes to be received by each request, -1 for others
  std::vector<MPI_Status> statuses;
  bool done = false, failed = false;

  std::string describe() const {
    return str(": ", name, " of ", elements, " ", to_string(dtype), " on rank ", rank, "/", size);
  }

  void add_request(MPI_Request request, int64_t bytes) {
    requests.push_back(request);
    expected.push_back(bytes);
  }

  // An empty message is sent too, so that both sides' counts are compared.
  void send(const char* data, int64_t bytes, int to) {
    do {
      const int64_t n = std::min(bytes, max_message_bytes);
      MPI_Request request;
      check_mpi(MPI_Isend(data, static_cast<int>(n), MPI_BYTE, to, tag, comm, &request), "MPI_Isend",
                describe());
      add_request(request, -1);
      data += n;
      bytes -= n;
    } while (bytes > 0);
  }

  void receive(char* data, int64_t bytes, int from) {
    do {
      const int64_t n = std::min(bytes, max_message_bytes);
      MPI_Request request;
      check_mpi(MPI_Irecv(data, static_cast<int>(n), MPI_BYTE, from, tag, comm, &request), "MPI_Irecv",
                describe());
      add_request(request, n);
      data += n;
      bytes -= n;
    } while (bytes > 0);
  }

  // The ranks other than this one, each starting with its right neighbour so that not all send to rank 0
  // first.
  template <typename F>
  void for_peers(F&& f) {
    for (int i = 1; i < size; ++i) f((rank + i) % size);
  }

  void abandon() {
    for (size_t i = 0; i < requests.size(); ++i) {
      if (expected[i] >= 0 && requests[i] != MPI_REQUEST_NULL) MPI_Cancel(&requests[i]);
    }
    failed = true;
  }
};

// Runs the operations of a communicator and its duplicates. Waiting for one makes progress in all: another
// rank may be waiting for a different one.
class Engine {
 public:
  explicit Engine(int spins) : spins_(spins), thread_(std::this_thread::get_id()) {}
  int spins() const { return spins_; }

  // An idle operation: the one with the smallest staging that fits, else the largest.
  Operation* take(size_t staging_bytes) {
    LIME_CHECK(std::this_thread::get_id() == thread_,
               "MPI collectives belong to the thread that started MPI");
    size_t best = idle_.size();
    for (size_t i = 0; i < idle_.size(); ++i) {
      if (best == idle_.size()) {
        best = i;
        continue;
      }
      const size_t a = idle_[i]->staging.size(), b = idle_[best]->staging.size();
      const bool a_fits = a >= staging_bytes, b_fits = b >= staging_bytes;
      if (a_fits != b_fits ? a_fits : (a_fits ? a < b : a > b)) best = i;
    }
    if (best == idle_.size()) {
      all_.push_back(std::make_unique<Operation>());
      idle_.push_back(all_.back().get());
    }
    Operation* op = idle_[best];
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(best));
    op->requests.clear();
    op->expected.clear();
    op->then = Then::finish;
    op->done = op->failed = false;
    return op;
  }
  void start(Operation* op) {
    active_.push_back(op);
    progress();
  }
  void release(Operation* op) {
    if (!op->failed) idle_.push_back(op);  // MPI may still write to a failed one's staging: it stays aside
  }
  void abandon(Operation* op) {
    std::erase(active_, op);
    op->abandon();
  }

  void progress() {
    LIME_CHECK(std::this_thread::get_id() == thread_,
               "MPI collectives belong to the thread that started MPI");
    size_t kept = 0;
    for (size_t i = 0; i < active_.size(); ++i) {
      Operation* op = active_[i];
      try {
        advance(*op);
      } catch (...) {
        op->abandon();
        active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(kept),
                      active_.begin() + static_cast<std::ptrdiff_t>(i + 1));
        throw;
      }
      if (!op->done) active_[kept++] = op;
    }
    active_.resize(kept);
  }

 private:
  static bool messages_done(Operation& op) {
    const auto n = op.requests.size();
    if (n == 0) return true;
    op.statuses.resize(n);
    int flag = 0;
    const int code = MPI_Testall(static_cast<int>(n), op.requests.data(), &flag, op.statuses.data());
    if (code == MPI_ERR_IN_STATUS) {
      for (const MPI_Status& status : op.statuses) {
        if (status.MPI_ERROR != MPI_ERR_PENDING) {
          check_mpi(status.MPI_ERROR, "message", str(op.describe(), ", from rank ", status.MPI_SOURCE));
        }
      }
    }
    check_mpi(code, "MPI_Testall", op.describe());
    if (!flag) return false;
    for (size_t i = 0; i < n; ++i) {
      if (op.expected[i] < 0) continue;
      int bytes = 0;
      MPI_Get_count(&op.statuses[i], MPI_BYTE, &bytes);
      if (bytes != op.expected[i]) {
        throw Error(str("rank ", op.statuses[i].MPI_SOURCE, " sent ", bytes, " bytes where ", op.expected[i],
                        " were expected", op.describe()));
      }
    }
    op.requests.clear();
    op.expected.clear();
    return true;
  }

  static void advance(Operation& op) {
    while (!op.done && messages_done(op)) {
      if (op.then == Then::finish) {
        op.done = true;
        return;
      }
      void* own = op.parts[static_cast<size_t>(op.rank)];
      reduce_parts(op.dtype, op.op, op.parts, op.part, own);
      if (op.then == Then::reduce_and_share) share(op, static_cast<const char*>(own));
      op.then = Then::finish;
    }
  }

  // The second half of an all-reduce: this rank's chunk to all, theirs to this rank.
  static void share(Operation& op, const char* own) {
    const auto value = static_cast<int64_t>(size_of(op.dtype));
    op.for_peers([&](int r) {
      const int64_t begin = op.elements * r / op.size, end = op.elements * (r + 1) / op.size;
      if (end > begin) op.receive(op.buffer + begin * value, (end - begin) * value, r);
    });
    op.for_peers([&](int r) {
      if (op.part > 0) op.send(own, op.part * value, r);
    });
  }

  int spins_;
  std::thread::id thread_;
  std::vector<std::unique_ptr<Operation>> all_;
  std::vector<Operation*> idle_, active_;
};

class MpiWork final : public Work {
 public:
  MpiWork(std::shared_ptr<Engine> engine, Operation* op) : engine_(std::move(engine)), op_(op) {}

  // Left by an exception, the other ranks may never do their part: do not wait for them.
  ~MpiWork() override {
    if (!op_ || op_->failed) return;
    if (!op_->done && std::uncaught_exceptions() > exceptions_) {
      engine_->abandon(op_);
      return;
    }
    wait();  // an error here ends the program
  }

  bool test() override {
    if (!op_) return true;
    LIME_CHECK(!op_->failed, "this collective failed before", op_->describe());
    if (!op_->done) engine_->progress();
    if (!op_->done) return false;
    engine_->release(op_);
    op_ = nullptr;
    return true;
  }

  void wait() override {
    for (int polls = 0; !test(); ++polls) {
      if (polls >= engine_->spins()) sched_yield();
    }
  }

 private:
  std::shared_ptr<Engine> engine_;
  Operation* op_;
  int exceptions_ = std::uncaught_exceptions();
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm parent, std::shared_ptr<Engine> engine, const MpiTuning& tuning)
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
    Operation* op = reduction("all_reduce", buffer, reduce, range(rank_).second / value);
    op->buffer = data;
    op->then = direct ? Then::reduce : Then::reduce_and_share;
    exchange_parts(*op, data, range, data + range(rank_).first);
    return started(op);
  }

  WorkPtr reduce_scatter(ConstView in, View out) override {
    check_reduce_scatter(*this, in, out);
    Operation* op = reduction("reduce_scatter", in, ReduceOp::sum, out.size());
    op->then = Then::reduce;
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
    Operation* op = operation("all_gather", in, 0);
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
    Operation* op = operation("all_to_all_v", send, 0);
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
    Operation* op = operation("broadcast", buffer, 0);
    auto* data = static_cast<char*>(buffer.raw());
    for (int64_t bytes = bytes_of(buffer), n; bytes > 0; data += n, bytes -= n) {
      n = std::min(bytes, tuning_.max_message_bytes);
      MPI_Request request;
      check_mpi(MPI_Ibcast(data, static_cast<int>(n), MPI_BYTE, root, comm_, &request), "MPI_Ibcast",
                op->describe());
      op->add_request(request, -1);
    }
    return started(op);
  }

  WorkPtr barrier() override {
    Operation* op = operation("barrier", ConstView(), 0);
    MPI_Request request;
    check_mpi(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier", op->describe());
    op->add_request(request, -1);
    return started(op);
  }

  std::unique_ptr<Communicator> duplicate() override {
    return std::make_unique<MpiCommunicator>(comm_, engine_, tuning_);
  }

 private:
  static int64_t bytes_of(const ConstView& v) { return v.size() * static_cast<int64_t>(size_of(v.dtype())); }
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

  Operation* operation(const char* name, const ConstView& v, size_t staging_bytes) {
    Operation* op = engine_->take(staging_bytes);
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

  Operation* reduction(const char* name, const ConstView& v, ReduceOp reduce, int64_t part) {
    Operation* op = operation(name, v, static_cast<size_t>(part * (size_ - 1)) * size_of(v.dtype()));
    op->op = reduce;
    op->part = part;
    return op;
  }

  // Every rank r is sent the run range(r) (offset and length in bytes) of `from`. What comes back will be
  // op.parts, of which this rank's own is `own`.
  template <typename Range>
  void exchange_parts(Operation& op, const char* from, Range&& range, void* own) {
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

  WorkPtr started(Operation* op) {
    engine_->start(op);
    return std::make_unique<MpiWork>(engine_, op);
  }

  std::shared_ptr<Engine> engine_;
  MpiTuning tuning_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  int64_t tags_ = 0, next_tag_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(const MpiTuning& tuning) {
  return std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, std::make_shared<Engine>(tuning.spins), tuning);
}

}  // namespace lime
