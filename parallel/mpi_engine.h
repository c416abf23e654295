// Collectives under way over MPI, internal to parallel/: what a collective of comm_mpi.cc is made of, and
// what brings it to its end.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "parallel/comm_mpi.h"
#include "parallel/reduce_parts.h"

namespace lime {

// What follows when all of an operation's messages have arrived.
enum class MpiThen : uint8_t {
  finish,
  reduce_and_share,  // all_reduce: the parts of this rank's chunk are summed, and the sum goes to all
  reduce,            // reduce_scatter, and all_reduce in one exchange: the parts are summed
};

// One collective of this rank: its messages, and where they go.
struct MpiOperation {
  const char* name = "";
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0, size = 1, tag = 0;
  int64_t max_message_bytes = 0;
  DType dtype = DType::f32;
  int64_t elements = 0;  // of the call, for messages
  ReduceOp op = ReduceOp::sum;
  MpiThen then = MpiThen::finish;
  char* buffer = nullptr;    // all_reduce: the caller's
  int64_t part = 0;          // elements of a part, and of their sum
  std::vector<void*> parts;  // by rank: in `staging`, but this rank's own where the sum goes
  Staging staging;
  std::vector<MPI_Request> requests;
  std::vector<int64_t> expected;  // bytes to be received by each request, -1 for others
  std::vector<int> senders;       // the rank they come from
  std::vector<MPI_Status> statuses;
  bool done = false, failed = false;

  std::string describe() const;
  void add_request(MPI_Request request, int64_t bytes = -1, int from = -1);

  // An empty message is sent too, so that both sides' counts are compared.
  void send(const char* data, int64_t bytes, int to);
  void receive(char* data, int64_t bytes, int from);

  // The ranks other than this one, each starting with its right neighbour so that not all send to rank 0
  // first.
  template <typename F>
  void for_peers(F&& f) {
    for (int i = 1; i < size; ++i) f((rank + i) % size);
  }

  // Gives up on messages that have not come.
  void abandon();
  // ": nothing from rank 2, 3", or "". Before abandon().
  std::string missing();
};

// Runs the operations of a communicator and its duplicates. Waiting for one makes progress in all: another
// rank may be waiting for a different one.
class MpiEngine {
 public:
  explicit MpiEngine(const MpiTuning& tuning) : tuning_(tuning), thread_(std::this_thread::get_id()) {}
  const MpiTuning& tuning() const { return tuning_; }

  // An idle operation: the one with the smallest staging that fits, else the largest.
  MpiOperation* take(size_t staging_bytes);
  void start(MpiOperation* op);
  void release(MpiOperation* op);  // done: idle again
  void abandon(MpiOperation* op);  // not done, and never to be

  // Takes every operation that is under way as far as its messages have come.
  void progress();

  void add_wait(double ms) { waited_ms_ += ms; }
  double waited_ms() const { return waited_ms_; }

 private:
  const MpiTuning tuning_;
  double waited_ms_ = 0;
  std::thread::id thread_;
  std::vector<std::unique_ptr<MpiOperation>> all_;
  std::vector<MpiOperation*> idle_, active_;
};

// The work of an operation that was started; releases it.
WorkPtr make_mpi_work(std::shared_ptr<MpiEngine>, MpiOperation*);

}  // namespace lime
