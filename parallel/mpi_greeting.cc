#include "parallel/mpi_greeting.h"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "parallel/comm_mpi.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

// Those of the requests, one a rank, that are not done.
std::vector<int> unfinished(std::vector<MPI_Request>& requests) {
  std::vector<int> ranks;
  for (size_t r = 0; r < requests.size(); ++r) {
    int done = 0;
    MPI_Test(&requests[r], &done, MPI_STATUS_IGNORE);
    if (!done) ranks.push_back(static_cast<int>(r));
  }
  return ranks;
}

}  // namespace

void greet_all_ranks(double limit_s) {
  int size = 1, rank = 0;
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  const auto ranks = static_cast<size_t>(size);
  const char word = 0;
  std::vector<char> heard(ranks);
  std::vector<MPI_Request> receives(ranks), sends(ranks);
  for (int r = 0; r < size; ++r) {
    const auto i = static_cast<size_t>(r);
    check_mpi(MPI_Irecv(&heard[i], 1, MPI_BYTE, r, 0, MPI_COMM_WORLD, &receives[i]), "MPI_Irecv");
    check_mpi(MPI_Isend(&word, 1, MPI_BYTE, r, 0, MPI_COMM_WORLD, &sends[i]), "MPI_Isend");
  }
  const double patience_s = limit_s + std::min(rank, 30);  // the first to give up speaks for the others
  const auto begin = std::chrono::steady_clock::now();
  for (int received = 0, sent = 0; !received || !sent;) {
    check_mpi(MPI_Testall(size, receives.data(), &received, MPI_STATUSES_IGNORE), "MPI_Testall");
    check_mpi(MPI_Testall(size, sends.data(), &sent, MPI_STATUSES_IGNORE), "MPI_Testall");
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
    if (waited.count() > patience_s)
      throw UserError(str(
          "rank ", joined(unfinished(received ? sends : receives)), " cannot be reached within ", limit_s,
          " s of the start: expected hosts that reach each other by the network that MPI takes (mpirun --mca "
          "btl_tcp_if_include eth0; docs/cluster.md)"));
    if (waited.count() > 0.1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace lime
