// The MPI communicator, internal to parallel/: what process_group.cc and its tests need of comm_mpi.cc.
//
// Point-to-point messages carry everything but barriers and broadcasts: each collective's messages have a tag
// of their own, so works may finish in any order, counts are 64-bit, and a message of a wrong length is
// noticed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "parallel/communicator.h"

namespace lime {

// All ranks must use the same sizes.
struct MpiTuning {
  int64_t max_message_bytes = int64_t{1} << 30;  // larger ones are cut: MPI 3 counts are 31-bit
  // An all-reduce in which a rank receives at most so many bytes is one exchange instead of two.
  int64_t direct_bytes = 64 << 10;
  int spins = 10'000;          // polls before a wait begins to yield the core; few where ranks share cores
  double wait_limit_s = 1800;  // for a collective, from its wait() on
};

// Over all ranks of the job, on the thread that initialised MPI, which must make all calls
// (MPI_THREAD_FUNNELED).
std::unique_ptr<Communicator> make_mpi_communicator(const MpiTuning& tuning = {});

// Of the ranks that gave the same colour, in their order; null for a negative one. Collective over `mpi`, a
// communicator of this kind.
std::unique_ptr<Communicator> split_mpi_communicator(Communicator& mpi, int colour);

// Throws Error "<call> failed: <MPI's reason><detail>" unless `code` is MPI_SUCCESS.
void check_mpi(int code, const char* call, const std::string& detail = "");

}  // namespace lime
