// Progress: what rank 0 shows while a run goes on. On a terminal one line rewritten in place, else a plain
// line every `log_every` steps:
//
//   step 120/335  loss 0.6123  NE 0.8931  4213 requests/s  data wait 0.4%  ETA 1:05
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lime {

// What ranks worked themselves: computing, and waiting for their own readers (rank_work.h).
struct WorkSpread {
  double fastest_ms = 0, median_ms = 0, slowest_ms = 0;  // a step
  int slowest = 0;                                       // that rank
};

// What one step, or several in a row, did over all ranks. What progress shows and metrics.jsonl keeps.
struct StepReport {
  int64_t step = 0;  // steps done, this one counted
  int64_t epoch = 0;
  int64_t steps = 1;  // how many steps this report covers: the last of them is `step`
  double loss = 0;    // weighted mean over their candidates
  double ne = 0;      // normalised entropy so far; NaN: not known
  double learning_rate = 0;
  double gradient_norm = 0;  // before clipping, of the last step; NaN: not known
  int64_t requests = 0, history_tokens = 0, candidates = 0;  // sums over the steps covered
  double step_ms = 0;                                        // wall time of the steps covered, in all
  double data_wait_ms = 0;                               // of that, waiting for the reader (the slowest rank)
  std::vector<std::pair<std::string, double>> parts_ms;  // of that, by name ("forward", "exchange"), in all
  std::optional<WorkSpread> work;                        // of several ranks, where it is known
};

// `window` becomes the report of both, `next` following it (parts_ms and work are those of `next`).
void append_steps(StepReport& window, const StepReport& next);

class Progress {
 public:
  // `enabled`: false on ranks other than 0. `total_steps`: 0 if not known. `out` is a terminal or not: found
  // out here.
  Progress(bool enabled, int64_t total_steps, int64_t log_every, std::FILE* out = stderr);
  ~Progress();  // ends a live line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(const StepReport&);
  // A line of its own, above the live one ("checkpoint runs/a/checkpoints/step-000000335").
  void message(const std::string& text);

 private:
  void clear_line();

  bool enabled_, terminal_;
  int64_t total_steps_, log_every_;
  std::FILE* out_;
  bool line_open_ = false;
  std::chrono::steady_clock::time_point last_drawn_{};
  StepReport window_;  // since the last line
  int64_t done_ = 0;   // steps and their time since the beginning, for the ETA
  double done_ms_ = 0;
};

// The line above, for a report that covers a window; `eta_seconds` < 0: left out.
std::string progress_line(const StepReport&, int64_t total_steps, double eta_seconds);
std::string format_duration(double seconds);  // "0:07", "1:02:03", "2d 03:04"

}  // namespace lime
