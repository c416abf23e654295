#include "launch/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "runtime/error.h"

namespace lime {
namespace {

std::string padded(int64_t value) { return str(value < 10 ? "0" : "", value); }

}  // namespace

void append_steps(StepReport& window, const StepReport& next) {
  const StepReport before = window;
  window = next;
  const auto total = static_cast<double>(before.candidates + next.candidates);
  if (total > 0)
    window.loss = (before.loss * static_cast<double>(before.candidates) +
                   next.loss * static_cast<double>(next.candidates)) /
                  total;
  window.steps += before.steps;
  window.requests += before.requests;
  window.history_tokens += before.history_tokens;
  window.candidates += before.candidates;
  window.step_ms += before.step_ms;
  window.data_wait_ms += before.data_wait_ms;
}

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (s >= 86400) return str(s / 86400, "d ", padded(s / 3600 % 24), ":", padded(s / 60 % 60));
  if (s >= 3600) return str(s / 3600, ":", padded(s / 60 % 60), ":", padded(s % 60));
  return str(s / 60, ":", padded(s % 60));
}

std::string progress_line(const StepReport& report, int64_t total_steps, double eta_seconds) {
  std::ostringstream line;
  line << "step " << report.step;
  if (total_steps > 0) line << "/" << total_steps;
  line << std::fixed << std::setprecision(4) << "  loss " << report.loss;
  if (std::isfinite(report.ne)) line << "  NE " << report.ne;
  if (report.step_ms > 0) {
    const double rate = static_cast<double>(report.requests) / report.step_ms * 1000;
    line << std::setprecision(rate < 10 ? 2 : 0) << "  " << rate << " requests/s" << std::setprecision(1)
         << "  data wait " << 100 * report.data_wait_ms / report.step_ms << "%";
  }
  if (eta_seconds >= 0) line << "  ETA " << format_duration(eta_seconds);
  return line.str();
}

Progress::Progress(bool enabled, int64_t total_steps, int64_t log_every, std::FILE* out)
    : enabled_(enabled),
      terminal_(isatty(fileno(out)) != 0),
      total_steps_(total_steps),
      log_every_(std::max<int64_t>(1, log_every)),
      out_(out) {
  window_.steps = 0;
}

Progress::~Progress() {
  if (line_open_) std::fputc('\n', out_);
  std::fflush(out_);
}

void Progress::update(const StepReport& report) {
  if (!enabled_) return;
  append_steps(window_, report);
  done_ += report.steps;
  done_ms_ += report.step_ms;
  const bool last = report.step == total_steps_;
  const bool line_due = report.step / log_every_ != (report.step - report.steps) / log_every_ || last;
  const auto now = std::chrono::steady_clock::now();
  const bool redraw = now - last_drawn_ >= std::chrono::milliseconds(100) || last;
  if (terminal_ ? !redraw : !line_due) return;

  const double eta = total_steps_ > 0 && done_ > 0
                         ? static_cast<double>(std::max<int64_t>(0, total_steps_ - report.step)) * done_ms_ /
                               1000 / static_cast<double>(done_)
                         : -1.0;
  const std::string line = progress_line(window_, total_steps_, eta);
  if (terminal_) {
    std::fprintf(out_, "\r\033[K%s", line.c_str());
    line_open_ = true;
    last_drawn_ = now;
  } else {
    std::fprintf(out_, "%s\n", line.c_str());
  }
  std::fflush(out_);
  // A live line shows the last `log_every` steps or so; a plain one those since the line before it.
  if (line_due) {
    window_ = {};
    window_.steps = 0;
  }
}

void Progress::message(const std::string& text) {
  if (!enabled_) return;
  clear_line();
  std::fprintf(out_, "%s\n", text.c_str());
  std::fflush(out_);
}

void Progress::clear_line() {
  if (line_open_) std::fputs("\r\033[K", out_);
  line_open_ = false;
}

}  // namespace lime
