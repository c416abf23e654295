#include "parallel/mpi_engine.h"

#include <sched.h>

#include <algorithm>
#include <exception>

#include "runtime/device_watch.h"
#include "runtime/error.h"
#include "runtime/stopwatch.h"
#include "runtime/text.h"

namespace lime {

std::string MpiOperation::describe() const {
  return str(": ", name, " of ", elements, " ", to_string(dtype), " on rank ", rank, "/", size);
}

void MpiOperation::add_request(MPI_Request request, int64_t bytes, int from) {
  requests.push_back(request);
  expected.push_back(bytes);
  senders.push_back(from);
}

void MpiOperation::send(const char* data, int64_t bytes, int to) {
  do {
    const int64_t n = std::min(bytes, max_message_bytes);
    MPI_Request request;
    check_mpi(MPI_Isend(data, static_cast<int>(n), MPI_BYTE, to, tag, comm, &request), "MPI_Isend",
              describe());
    add_request(request);
    data += n;
    bytes -= n;
  } while (bytes > 0);
}

void MpiOperation::receive(char* data, int64_t bytes, int from) {
  do {
    const int64_t n = std::min(bytes, max_message_bytes);
    MPI_Request request;
    check_mpi(MPI_Irecv(data, static_cast<int>(n), MPI_BYTE, from, tag, comm, &request), "MPI_Irecv",
              describe());
    add_request(request, n, from);
    data += n;
    bytes -= n;
  } while (bytes > 0);
}

void MpiOperation::abandon() {
  for (size_t i = 0; i < requests.size(); ++i) {
    if (expected[i] >= 0 && requests[i] != MPI_REQUEST_NULL) MPI_Cancel(&requests[i]);
  }
  failed = true;
}

std::string MpiOperation::missing() {
  std::vector<int> ranks;
  for (size_t i = 0; i < requests.size(); ++i) {
    int arrived = 1;
    if (senders[i] >= 0) MPI_Test(&requests[i], &arrived, MPI_STATUS_IGNORE);
    if (!arrived) ranks.push_back(senders[i]);
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  return ranks.empty() ? "" : ": nothing from rank " + joined(ranks);
}

namespace {

bool messages_done(MpiOperation& op) {
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
  op.senders.clear();
  return true;
}

// The second half of an all-reduce: this rank's chunk to all, theirs to this rank.
void share(MpiOperation& op, const char* own) {
  const auto value = static_cast<int64_t>(size_of(op.dtype));
  op.for_peers([&](int r) {
    const int64_t begin = op.elements * r / op.size, end = op.elements * (r + 1) / op.size;
    if (end > begin) op.receive(op.buffer + begin * value, (end - begin) * value, r);
  });
  op.for_peers([&](int r) {
    if (op.part > 0) op.send(own, op.part * value, r);
  });
}

void advance(MpiOperation& op) {
  while (!op.done && messages_done(op)) {
    if (op.then == MpiThen::finish) {
      op.done = true;
      return;
    }
    void* own = op.parts[static_cast<size_t>(op.rank)];
    reduce_parts(op.dtype, op.op, op.parts, op.part, own);
    if (op.then == MpiThen::reduce_and_share) share(op, static_cast<const char*>(own));
    op.then = MpiThen::finish;
  }
}

}  // namespace

MpiOperation* MpiEngine::take(size_t staging_bytes) {
  LIME_CHECK(std::this_thread::get_id() == thread_, "MPI collectives belong to the thread that started MPI");
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
    all_.push_back(std::make_unique<MpiOperation>());
    idle_.push_back(all_.back().get());
  }
  MpiOperation* op = idle_[best];
  idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(best));
  op->requests.clear();
  op->expected.clear();
  op->senders.clear();
  op->then = MpiThen::finish;
  op->done = op->failed = false;
  return op;
}

void MpiEngine::start(MpiOperation* op) {
  active_.push_back(op);
  progress();
}

void MpiEngine::release(MpiOperation* op) {
  if (!op->failed) idle_.push_back(op);  // MPI may still write to a failed one's staging: it stays aside
}

void MpiEngine::abandon(MpiOperation* op) {
  std::erase(active_, op);
  op->abandon();
}

void MpiEngine::progress() {
  LIME_CHECK(std::this_thread::get_id() == thread_, "MPI collectives belong to the thread that started MPI");
  size_t kept = 0;
  for (size_t i = 0; i < active_.size(); ++i) {
    MpiOperation* op = active_[i];
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

namespace {

class MpiWork final : public Work {
 public:
  MpiWork(std::shared_ptr<MpiEngine> engine, MpiOperation* op) : engine_(std::move(engine)), op_(op) {}

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
    const Stopwatch watch;
    const MpiTuning& tuning = engine_->tuning();
    for (int polls = 0; !test(); ++polls) {
      if (polls < tuning.spins) continue;
      if (watch.seconds() > tuning.wait_limit_s) give_up();
      cuda::look_after_watched(cuda::Watched::Clock::now());  // this wait has the limit
      sched_yield();
    }
    engine_->add_wait(watch.ms());
  }

 private:
  [[noreturn]] void give_up() {
    const std::string what =
        str("no end after ", engine_->tuning().wait_limit_s, " s", op_->describe(), op_->missing(),
            ": a rank is gone, cannot be reached, or calls another collective");
    engine_->abandon(op_);
    throw Error(what);
  }

  std::shared_ptr<MpiEngine> engine_;
  MpiOperation* op_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace

WorkPtr make_mpi_work(std::shared_ptr<MpiEngine> engine, MpiOperation* operation) {
  return std::make_unique<MpiWork>(std::move(engine), operation);
}

}  // namespace lime
