#include "launch/compare/runner.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <list>
#include <optional>
#include <sstream>
#include <thread>

#include "launch/compare/child_process.h"
#include "launch/progress.h"
#include "launch/stop_signal.h"
#include "model/run_choice.h"
#include "runtime/error.h"
#include "runtime/file_text.h"
#include "runtime/stopwatch.h"

namespace lime {
namespace {

namespace fs = std::filesystem;

// What a run has said so far; nothing where there was no room for its log.
std::string read_from(const std::string& log, int64_t offset) {
  return fs::exists(log) ? file_text(log, offset) : "";
}

struct Active {
  const ComparisonRun* run;
  std::string log;
  int64_t log_begin;  // where this attempt's output begins
  ChildProcess process;
  Stopwatch watch = {};
};

class Runner {
 public:
  Runner(const ComparisonPlan& plan, const RunnerOptions& options)
      : plan_(plan),
        options_(options),
        terminal_(isatty(fileno(stderr)) != 0),
        remaining_(plan.entries.size()) {
    for (const auto& run : plan.runs)
      if (!is_complete(run)) waiting_.push_back(&run);
    done_ = plan.runs.size() - waiting_.size();
  }

  RunnerOutcome run() {
    if (done_ > 0) say(str(done_, " of ", plan_.runs.size(), " runs are there already"));
    make_directory(plan_.out + "/runs");
    make_directory(plan_.out + "/logs");
    StopSignal signal;
    while (!active_.empty() || (!waiting_.empty() && !outcome_.stopped)) {
      if (signal.received() != 0 && !outcome_.stopped) stop();
      while (!outcome_.stopped && !waiting_.empty() && active_.size() < static_cast<size_t>(options_.jobs))
        start();
      collect();
      draw();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    clear();
    return std::move(outcome_);
  }

 private:
  static void make_directory(const std::string& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) throw UserError(str("--out: ", path, " cannot be made: ", error.message()));
  }

  void start() {
    const ComparisonRun& run = *waiting_.front();
    waiting_.pop_front();
    const std::string log = str(plan_.out, "/logs/", run.name, ".log");
    std::error_code none;
    const auto size = fs::file_size(log, none);
    try {
      active_.push_back({&run, log, none ? 0 : static_cast<std::streamoff>(size),
                         ChildProcess(train_command(plan_, run, options_), log)});
    } catch (const UserError& error) {  // its log cannot be written; others under way go on
      fail(run, error.what(), log);
    }
  }

  void stop() {
    outcome_.stopped = true;
    say("stopping: runs under way finish their step, or leave their evaluation, and write a checkpoint");
    for (const auto& active : active_) active.process.ask_to_stop();
  }

  void collect() {
    for (auto it = active_.begin(); it != active_.end();) {
      const auto exit_code = it->process.poll();
      if (!exit_code) {
        ++it;
        continue;
      }
      finish(*it, *exit_code);
      it = active_.erase(it);
    }
  }

  void finish(const Active& active, int exit_code) {
    const ComparisonRun& run = *active.run;
    if (is_complete(run)) {
      remaining_.finished(run.entry, active.watch.seconds());
      ++done_;
      say(str("[", done_, "/", plan_.runs.size(), "] ", run.name, " in ",
              format_duration(active.watch.seconds()), remaining_text()));
      return;
    }
    if (outcome_.stopped) return;
    std::string reason = last_error(read_from(active.log, active.log_begin));
    if (reason.empty())
      reason = exit_code > 128 ? str("ended by signal ", exit_code - 128)
                               : str("ended with exit code ", exit_code);
    fail(run, reason, active.log);
  }

  void fail(const ComparisonRun& run, const std::string& reason, const std::string& log) {
    say(str(run.name, " failed: ", reason, " (", log, ")"));
    outcome_.failures.push_back({run.name, reason, log});
  }

  double seconds_left() const {
    std::vector<RemainingTime::UnderWay> under_way;
    for (const auto& active : active_) {
      const auto progress = last_progress(read_from(active.log, active.log_begin));
      const double fraction = progress && progress->total > 0
                                  ? static_cast<double>(progress->step) / static_cast<double>(progress->total)
                                  : 0.0;
      under_way.push_back({active.run->entry, active.watch.seconds(), fraction});
    }
    std::vector<size_t> waiting;
    for (const auto* run : waiting_) waiting.push_back(run->entry);
    return remaining_.estimate(under_way, waiting, options_.jobs);
  }

  std::string remaining_text() const {
    if (waiting_.empty() && active_.size() <= 1) return "";
    const double left = seconds_left();
    return left >= 0 ? str("  ETA ", format_duration(left)) : "";
  }

  void draw() {
    if (!terminal_ || (drawn_ && drawn_->seconds() < 0.5)) return;
    drawn_.emplace();
    std::string line = str("run ", done_ + outcome_.failures.size() + 1, "/", plan_.runs.size());
    for (const auto& active : active_) {
      line += "  " + active.run->name;
      const auto progress = last_progress(read_from(active.log, active.log_begin));
      if (!progress) continue;
      line += progress->step == progress->total
                  ? " evaluating"
                  : str(" step ", progress->step, progress->total > 0 ? str("/", progress->total) : "");
    }
    if (const double left = seconds_left(); left >= 0) line += str("  ETA ", format_duration(left));
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
    line_open_ = true;
  }

  void clear() {
    if (line_open_) std::fputs("\r\033[K", stderr);
    line_open_ = false;
  }

  void say(const std::string& text) {
    clear();
    std::fprintf(stderr, "%s\n", text.c_str());
    std::fflush(stderr);
  }

  const ComparisonPlan& plan_;
  const RunnerOptions& options_;
  const bool terminal_;
  bool line_open_ = false;
  std::optional<Stopwatch> drawn_;
  std::deque<const ComparisonRun*> waiting_;
  std::list<Active> active_;
  size_t done_ = 0;
  RemainingTime remaining_;
  RunnerOutcome outcome_;
};

}  // namespace

RunnerOutcome train_runs(const ComparisonPlan& plan, const RunnerOptions& options) {
  return Runner(plan, options).run();
}

std::vector<std::string> train_command(const ComparisonPlan& plan, const ComparisonRun& run,
                                       const RunnerOptions& options) {
  std::vector<std::string> words;
  if (options.ranks > 1) {
    std::istringstream launcher(options.launcher);
    for (std::string word; launcher >> word;) words.push_back(word);
    words.insert(words.end(), {"-np", std::to_string(options.ranks)});
  }
  words.insert(words.end(), {options.program, "train"});
  if (fs::exists(config_path(run.directory))) {
    words.insert(words.end(), {"--resume", run.directory});
  } else {
    words.insert(words.end(), {plan.config_path, "--out", run.directory});
    for (const auto& [key, value] : run.overrides) words.insert(words.end(), {"--set", str(key, "=", value)});
  }
  words.insert(words.end(), {"--rows", rows_path(run)});
  return words;
}

std::optional<RunProgress> last_progress(const std::string& output) {
  for (size_t begin = output.rfind("\nstep "); begin != std::string::npos && begin > 0;
       begin = output.rfind("\nstep ", begin - 1)) {
    long long step = 0, total = 0;
    const int found = std::sscanf(output.c_str() + begin, " step %lld/%lld", &step, &total);
    if (found >= 1) return RunProgress{step, found == 2 ? total : 0};
  }
  return std::nullopt;
}

std::string last_error(const std::string& output) {
  const std::string mark = "lime: error: ";
  const size_t begin = output.rfind(mark);
  if (begin == std::string::npos) return "";
  const size_t from = begin + mark.size();
  return output.substr(from, output.find('\n', from) - from);
}

void RemainingTime::finished(size_t entry, double seconds) {
  entries_.at(entry).sum += seconds;
  ++entries_.at(entry).runs;
}

double RemainingTime::estimate(const std::vector<UnderWay>& under_way, const std::vector<size_t>& waiting,
                               int64_t jobs) const {
  std::vector<double> duration(entries_.size(), -1);
  for (size_t e = 0; e < entries_.size(); ++e)
    if (entries_[e].runs > 0) duration[e] = entries_[e].sum / static_cast<double>(entries_[e].runs);
  for (const auto& run : under_way)
    if (duration[run.entry] < 0 && run.fraction > 0) duration[run.entry] = run.seconds / run.fraction;
  double sum = 0;
  int64_t known = 0;
  for (const double d : duration) {
    sum += std::max(0.0, d);
    known += d >= 0 ? 1 : 0;
  }
  if (known == 0) return -1;
  const auto expected = [&](size_t entry) {
    return duration[entry] >= 0 ? duration[entry] : sum / static_cast<double>(known);
  };
  double left = 0, longest = 0;
  for (const auto& run : under_way) {
    // Progress is of the training steps; a run past its expected end is evaluating, and near it.
    const double mine = std::max(0.0, expected(run.entry) - run.seconds);
    left += mine;
    longest = std::max(longest, mine);
  }
  for (const size_t entry : waiting) {
    left += expected(entry);
    longest = std::max(longest, expected(entry));
  }
  return std::max(longest, left / static_cast<double>(jobs));
}

}  // namespace lime
