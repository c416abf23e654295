// The processes of a job: one rank a process, started by mpirun (or none: one process alone).
#pragma once

#include <memory>
#include <string>

#include "parallel/communicator.h"

namespace lime {

class ProcessGroup {
 public:
  // Initialises MPI if this process was started by an MPI launcher, else a group of one without MPI.
  ProcessGroup(int* argc, char*** argv);
  ~ProcessGroup();  // finalises MPI
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const;
  int size() const;
  int local_rank() const;  // among the ranks of this host: the GPU's index
  int local_size() const;
  std::string host() const;

  // Collectives over host memory. The group owns it; duplicate() for an order of one's own.
  Communicator& world();

  // Takes the job down: prints "[rank 3/8 host] reason" first, then ends every rank with `exit_code`. Does not return.
  [[noreturn]] void abort(const std::string& reason, int exit_code);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
