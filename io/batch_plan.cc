#include "io/batch_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lime {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

// By the limit that the window meets first, and so by requests or by tokens. Never more batches than
// requests.
struct Need {
  double batches = 0;
  bool by_tokens = false;
};

// Of these histories, how many fit together in nearly every batch: so many that two standard deviations more
// of their sum fit, too; of equal ones exactly what the budget holds. One always goes in.
double fitting(const WindowLoad& load, double budget) {
  const auto requests = static_cast<double>(load.requests);
  const double mean = static_cast<double>(load.tokens) / requests;
  const double deviation = std::sqrt(std::max(load.squares / requests - mean * mean, 0.0));
  const double root = (std::sqrt(deviation * deviation + mean * budget) - deviation) / mean;
  return std::max(std::floor(root * root + 1e-6), 1.0);  // n, where n mean + 2 sqrt(n) deviation = budget
}

Need need_of(const WindowLoad& load, BatchLimits limits) {
  const auto requests = static_cast<double>(load.requests), tokens = static_cast<double>(load.tokens),
             budget = static_cast<double>(limits.tokens);
  const double by_requests = requests / static_cast<double>(limits.requests);
  if (load.tokens == 0) return {by_requests, false};
  // A history that does not fit in any more is longer than others: of the mean length of a token's history.
  const double unfit = load.squares / tokens;
  const double by_tokens = tokens / std::max({budget - unfit, budget / 2, 1.0});
  // That is too many where histories are about equally long, or a batch holds hardly more than one.
  if (const double fewer = requests / fitting(load, budget); fewer <= by_tokens)
    return {std::max(fewer, by_requests), false};
  // Where both limits are near, now the one is met and now the other.
  const auto [less, more] = std::minmax(by_requests, by_tokens);
  return {std::min(more + less * less / more / 8, requests), by_tokens > by_requests};
}

}  // namespace

double cost_of(const std::vector<WindowLoad>& windows, BatchLimits limits) {
  double cost = 0;
  for (const auto& load : windows) cost += need_of(load, limits).batches;
  return cost;
}

BatchPlan::BatchPlan(BatchLimits limits) : limits_(limits) {}

BatchPlan::BatchPlan(BatchLimits limits, int64_t batches, int64_t requests)
    : limits_(limits), batches_(batches), requests_(requests) {}

BatchPlan::BatchPlan(BatchLimits limits, int64_t batches, const std::vector<std::vector<WindowLoad>>& windows)
    : limits_(limits), batches_(batches) {
  for (const auto& unit : windows) {
    auto& costs = units_.emplace_back();
    for (const auto& load : unit) {
      const Need need = need_of(load, limits);
      costs.push_back({cost_, 0, 0});
      if (need.by_tokens)
        costs.back().a_token = need.batches / static_cast<double>(load.tokens);
      else
        costs.back().a_request = need.batches / static_cast<double>(load.requests);
      cost_ += need.batches;
    }
  }
}

BatchPlan::WindowCost BatchPlan::window(int64_t unit, int64_t window) const {
  if (units_.empty()) return {};
  return units_.at(static_cast<size_t>(unit)).at(static_cast<size_t>(window));
}

BatchPlan::End BatchPlan::next_end(int64_t requests_done, double cost_done) const {
  if (batches_ == 0) return {limits_.requests, never};
  if (limits_.tokens == 0) {
    // The batch that the next request is in.
    const int64_t batch = ((requests_done + 1) * batches_ + requests_ - 1) / requests_;
    return {batch * requests_ / batches_ - requests_done, never};
  }
  // A batch that met a limit ended early, and one with a long history late: the next one makes up for it.
  const auto n = static_cast<double>(batches_);
  const double batch = 1 + std::round(cost_done / cost_ * n);
  return {limits_.requests, batch < n ? cost_ / n * batch : never};
}

}  // namespace lime
