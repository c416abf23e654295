#include "launch/failure.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <new>
#include <thread>
#include <vector>

#include "launch/stop_signal.h"
#include "runtime/one_line.h"
#include "runtime/out_of_memory.h"

namespace lime {
namespace {

void print_line(const std::string& line) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", line.c_str());
  std::fflush(stderr);
}

// Of any part of the program but the tables, which say it themselves: what was to be held is a batch, or a
// log.
std::string message_of(const std::exception& error) {
  const bool allocation = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  if (!allocation && !dynamic_cast<const OutOfMemory*>(&error)) return error.what();
  return str(allocation ? "out of memory" : error.what(),
             "; less is taken by smaller batches (train.batch_requests, train.batch_history_tokens, "
             "eval.batch_requests), a lower data.max_history or data.cache_mb, and imports with a lower "
             "--memory-mb");
}

}  // namespace

FailureReporter::FailureReporter(ProcessGroup& group) : group_(group) {
  if (group.size() > 1) failures_ = group.world().duplicate();
}

int FailureReporter::report(const std::exception& error) {
  // What the file system refuses (a name that is too long, a folder that may not be read) is for the user to
  // mend.
  const auto* of_files = dynamic_cast<const std::filesystem::filesystem_error*>(&error);
  const auto* interrupted = dynamic_cast<const Interrupted*>(&error);
  const bool user = of_files || interrupted || dynamic_cast<const UserError*>(&error);
  const int code = interrupted ? 128 + interrupted->signal() : user ? 2 : 1;
  const std::string message =
      of_files ? str(of_files->path1().string(), ": ", of_files->code().message()) : message_of(error);
  const std::string line =
      (interrupted ? "lime: " : "lime: error: ") + one_line(message);  // whatever a library or a file says
  if (!failures_) {
    print_line(line);
    return code;
  }
  const int64_t mine = static_cast<int64_t>(std::hash<std::string>{}(line));
  std::vector<int64_t> all(static_cast<size_t>(group_.size()));
  // Left alone if it does not complete: destroying it would wait.
  Work* work = failures_->all_gather(ConstView(&mine, 1, 1), View(all.data(), 1, group_.size())).release();
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (!work->test()) {
    if (std::chrono::steady_clock::now() > patience) group_.abort(line, code);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  delete work;
  bool first = true;
  for (int rank = 0; rank < group_.rank(); ++rank) first = first && all[static_cast<size_t>(rank)] != mine;
  if (first)
    print_line(user ? line
                    : str("[rank ", group_.rank(), "/", group_.size(), " ", group_.host(), "] ", line));
  return code;
}

}  // namespace lime
