#include "launch/rank_work.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "runtime/error.h"

namespace lime {
namespace {

constexpr int64_t warming_up = 3;  // turns: the first steps take memory, and choose algorithms
constexpr int64_t window_steps = 10;
constexpr double window_ms = 3000;
constexpr double slow = 1.5, well = 1.25;  // times the median's
constexpr double share_that_matters = 0.05;

double total(const RankTurn& turn) { return turn.work_ms + turn.read_ms; }
double rows_of(const RankTurn& turn) { return turn.rows; }

// Of an even number the lower one: of two ranks the faster.
double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <typename F>
std::vector<double> each(const std::vector<RankTurn>& ranks, F&& value) {
  std::vector<double> values;
  for (const RankTurn& rank : ranks) values.push_back(value(rank));
  return values;
}

std::string milliseconds_text(double ms) {
  char text[32];
  std::snprintf(text, sizeof text, ms < 10 ? "%.1f" : "%.0f", ms);
  return text;
}

}  // namespace

void RankWork::Sums::add(std::span<const RankTurn> more) {
  ranks.resize(more.size());
  for (size_t r = 0; r < more.size(); ++r) {
    ranks[r].work_ms += more[r].work_ms;
    ranks[r].read_ms += more[r].read_ms;
    ranks[r].rows += more[r].rows;
  }
  ++turns;
}

void RankWork::add(std::span<const RankTurn> ranks) {
  // The first turns tell of no step: before them there was only the wait for data.
  if (std::all_of(ranks.begin(), ranks.end(), [](const RankTurn& r) { return r.work_ms <= 0; })) return;
  reported_.add(ranks);
  if (++seen_ > warming_up) watched_.add(ranks);
}

std::optional<WorkSpread> RankWork::take_spread() {
  const Sums sums = std::exchange(reported_, {});
  if (sums.turns == 0 || sums.ranks.size() < 2) return std::nullopt;
  const std::vector<double> ms = each(sums.ranks, total);
  const auto slowest = std::max_element(ms.begin(), ms.end());
  const auto turns = static_cast<double>(sums.turns);
  return WorkSpread{*std::min_element(ms.begin(), ms.end()) / turns, median(ms) / turns, *slowest / turns,
                    static_cast<int>(slowest - ms.begin())};
}

std::optional<std::string> RankWork::end_step(double step_ms) {
  if (watched_.turns == 0) return std::nullopt;
  watched_.ms += step_ms;
  if (++watched_.steps < window_steps || watched_.ms < window_ms) return std::nullopt;
  const std::vector<double> times = times_of_median();
  if (named_ >= 0 && times[static_cast<size_t>(named_)] < well) named_ = -1;
  std::optional<std::string> text;
  const auto worst = std::max_element(times.begin(), times.end());
  const int rank = static_cast<int>(worst - times.begin());
  const double lost = total(watched_.ranks[static_cast<size_t>(rank)]) - median(each(watched_.ranks, total));
  if (*worst >= slow && rank != named_ && lost >= share_that_matters * watched_.ms) {
    named_ = rank;
    text = warning(rank);
  }
  watched_ = {};
  return text;
}

// By rank: how many times as long as the median rank it worked, or a row of its batches took it if that is
// less.
std::vector<double> RankWork::times_of_median() const {
  const std::vector<RankTurn>& ranks = watched_.ranks;
  const double ms = median(each(ranks, total)), rows = median(each(ranks, rows_of));
  return each(ranks, [&](const RankTurn& r) {
    return ms > 0 ? total(r) / ms / (rows > 0 ? std::max(1.0, r.rows / rows) : 1.0) : 1.0;
  });
}

std::string RankWork::warning(int rank) const {
  const auto r = static_cast<size_t>(rank);
  const auto turns = static_cast<double>(watched_.turns);
  const double of_median = median(each(watched_.ranks, total)), mine = total(watched_.ranks[r]),
               read = watched_.ranks[r].read_ms;
  char times[32];
  std::snprintf(times, sizeof times, "%.1f", mine / of_median);
  const bool reads = read > (mine - of_median) / 2;
  return str(
      "rank ", r, r < hosts_.size() ? str(" (", hosts_[r], ")") : "", " works ", times,
      " times as long a step as the median rank (", milliseconds_text(mine / turns), " ms for ",
      milliseconds_text(of_median / turns), "): ",
      reads ? str("it waits ", milliseconds_text(read / turns),
                  " ms of them for its data; is its disk slow, or does it lack threads (data.threads)?")
            : "are there other jobs on its host, or is its processor or GPU throttled? (lime bench ranks)");
}

}  // namespace lime
