// The processes of a job: one rank a process, started by mpirun (or none: one process alone).
//
// Threads: MPI belongs to the thread that made the group (MPI_THREAD_FUNNELED). Collectives, and test() and
// wait() of their works, are calls of that thread; others are refused with Error. abort() may come from any
// thread.
//
// Failure: catch errors inside the group's scope and call abort(). An exception that nobody catches is
// printed the same way and ends the job with exit code 1; so does a group destroyed while an exception passes
// (its reason is not known then). A rank that dies without a word (a signal, _exit) is noticed by the
// launcher, which ends the others. One that is silent without being dead (its network is cut) ends the job
// when a collective has waited for it for half an hour, or for LIME_WAIT_LIMIT_S seconds of the environment;
// at the start all ranks must reach each other within two minutes. docs/cluster.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "parallel/communicator.h"

namespace lime {

class ProcessGroup {
 public:
  // Initialises MPI if this process was started by an MPI launcher (mpirun, srun: PMI or PMIx in the
  // environment), else a group of one without MPI.
  ProcessGroup(int* argc, char*** argv);
  ~ProcessGroup();  // finalises MPI
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const;
  int size() const;
  int local_rank() const;  // among the ranks of this host: the GPU's index
  int local_size() const;
  int host_leader() const;  // the rank whose local_rank() is 0 on this host
  std::string host() const;

  // Collectives over host memory. The group owns it; duplicate() for an order of one's own.
  Communicator& world();
  // A communicator over host memory of the ranks that give the same colour, in their order; null for a rank
  // that gives a negative one. Collective.
  std::unique_ptr<Communicator> split(int colour);

  // Takes the job down: prints "[rank 3/8 host] reason" first, then ends every rank with `exit_code`. Does
  // not return.
  [[noreturn]] void abort(const std::string& reason, int exit_code);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
