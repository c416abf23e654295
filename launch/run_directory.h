// RunDirectory: where one run keeps everything, held by one job at a time.
//
//   RUN/config.yaml        every key, resolved: `lime train --resume RUN` and `lime eval RUN` read it
//   RUN/environment.json   version, commit, compiler, libraries, hosts, ranks, date; a resumed run adds a job
//   RUN/checkpoints/       model/checkpoint.h
//   RUN/metrics.jsonl      RUN/tensorboard/    launch/metrics_log.h
//   RUN/.lock              held (flock) while a job trains here; a killed process lets go of it
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "parallel/process_group.h"

namespace lime {

class RunDirectory {
 public:
  // Collective: rank 0 makes (or, with `resume`, finds) and locks the directory; every rank throws the same
  // UserError if it is not empty (without `resume`; what a job leaves that is killed before start() has
  // written config.yaml does not count), is not a run (with it), cannot be written, or is in use
  // ("run directory runs/a is in use by pid 4711 on host b"), or is not the same one for all ranks. A new
  // directory is removed again by the destructor unless start() was called: a run that fails in its first
  // checks leaves nothing behind.
  RunDirectory(ProcessGroup&, const std::string& path, bool resume);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  // Collective: writes config.yaml, then environment.json (rank 0, each atomically). From here on the
  // directory stays. `hosts`: of all ranks.
  void start(const Config&, const std::vector<std::string>& hosts);

  const std::string& path() const { return path_; }

 private:
  void open_and_lock(bool resume);
  void make_directories();
  void lock();
  void remove_unstarted();

  ProcessGroup& group_;
  std::string path_;
  int lock_fd_ = -1;  // rank 0
  // What this object made, outermost directory first; forgotten by start().
  std::vector<std::string> made_;
  bool made_lock_ = false;
};

}  // namespace lime
