// Communicator: collectives over typed buffers, one interface for one process, MPI and NCCL.
//
// Every call starts a collective and returns its Work; buffers must stay untouched until wait() returns. All
// ranks call the same collectives on a communicator in the same order, with the counts that the arguments'
// comments demand. Counts are 64-bit: larger than 2^31 elements is legal.
//
// Devices: a communicator's buffers are on one device, device(). One of a CUDA device belongs to a context: a
// collective begins after the work that the context's stream holds when it is called, and after wait() the
// context may be given work on the buffers, without any further waiting: the stream may have to wait, the
// host need not have, for a barrier either. What the host sees of them, it sees by copies and
// Context::synchronize(), as ever, which throws if the collective failed.
//
//   self     one rank; any device
//   mpi      host memory
//   staged   device memory, carried over host memory by a communicator there (comm_staged.h)
//   nccl     device memory, by NCCL (comm_nccl.h)
//
// Determinism: sums are ordered. all_reduce and reduce_scatter add the ranks' parts along one fixed binary
// tree (tree_sum.h), whatever the number of ranks, the element count or the timing: the same inputs give the
// same bits, on every rank.
//
// Errors: a failed collective throws Error naming the collective, the sizes and the library's reason; the
// program then aborts the job through its process group. Nothing waits for a rank that is gone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/context.h"
#include "runtime/tensor.h"

namespace lime {

enum class ReduceOp : uint8_t { sum, max, min };

// A collective under way. Destroying it waits, unless an exception is passing: then the other ranks may never
// take part. Works of a communicator and its duplicates may be waited for in any order, another on every
// rank.
class Work {
 public:
  virtual ~Work() = default;
  virtual bool test() = 0;  // makes progress; true once done
  virtual void wait() = 0;
};
using WorkPtr = std::unique_ptr<Work>;

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual const char* name() const = 0;  // "self", "mpi", "staged", "nccl"
  virtual Device device() const { return {}; }

  // All views are contiguous and on device().

  // buffer = op over ranks of buffer. Ordered; max and min also for i64.
  virtual WorkPtr all_reduce(View buffer, ReduceOp op) = 0;
  // out = [rank 0's in; rank 1's in; ...]; every rank gives the same number of elements.
  virtual WorkPtr all_gather(ConstView in, View out) = 0;
  // out = this rank's equal chunk of the ordered sum; in has size() x out elements.
  virtual WorkPtr reduce_scatter(ConstView in, View out) = 0;
  // Sends send_counts[r] elements to rank r and receives recv_counts[r] from it, packed in rank order.
  virtual WorkPtr all_to_all_v(ConstView send, std::span<const int64_t> send_counts, View recv,
                               std::span<const int64_t> recv_counts) = 0;
  virtual WorkPtr broadcast(View buffer, int root) = 0;
  virtual WorkPtr barrier() = 0;

  // A communicator of the same ranks whose collectives are ordered independently of this one's (collective
  // call). Not so for nccl: there all calls to all communicators of a device have one order on all ranks.
  virtual std::unique_ptr<Communicator> duplicate() = 0;

  // Milliseconds that this process has spent in wait() so far, for works of this communicator and of all that
  // are duplicates of each other. Only mpi counts them: nobody waits in self, and nccl's waits are also for
  // this rank's own work before them.
  virtual double waited_ms() const { return 0; }
};

// One process: every collective is a copy or nothing.
std::unique_ptr<Communicator> make_self_communicator();
std::unique_ptr<Communicator> make_self_communicator(Context&);  // on the context's device

// --- helpers over host memory, blocking --------------------------------------------------------
// Rank r's `mine` at [r * n, (r+1) * n).
std::vector<int64_t> all_gather_values(Communicator&, std::span<const int64_t> mine);
std::vector<double> all_gather_values(Communicator&, std::span<const double> mine);
// Every rank's text in rank order.
std::vector<std::string> all_gather_texts(Communicator&, const std::string& mine);
// Any bytes from `root` to all.
void broadcast_bytes(Communicator&, std::vector<char>& bytes, int root);
// Every rank's bytes on `root` in rank order (empty elsewhere).
std::vector<std::vector<char>> gather_bytes(Communicator&, std::span<const char> mine, int root);

}  // namespace lime
