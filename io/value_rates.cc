#include "io/value_rates.h"

#include <algorithm>
#include <limits>

namespace lime {
namespace {

// Pairs of a positive and a negative, and how many of them are in order.
class Pairs {
 public:
  void add(double score, int64_t candidates, int64_t positives) {
    if (candidates > 0)
      rows_.push_back({score, static_cast<double>(positives), static_cast<double>(candidates - positives)});
  }
  // Those of the rows so far; the next ones are another fold's.
  void end_fold() {
    std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.score < b.score; });
    double below = 0, positives = 0;
    for (size_t begin = 0, end = 0; begin < rows_.size(); begin = end) {
      double tied_positives = 0, tied_negatives = 0;
      for (; end < rows_.size() && rows_[end].score == rows_[begin].score; ++end)
        tied_positives += rows_[end].positives, tied_negatives += rows_[end].negatives;
      in_order_ += tied_positives * (below + tied_negatives / 2);
      below += tied_negatives, positives += tied_positives;
    }
    all_ += positives * below;
    rows_.clear();
  }
  double share_in_order() const {
    return all_ > 0 ? in_order_ / all_ : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  struct Row {
    double score, positives, negatives;
  };
  std::vector<Row> rows_;
  double in_order_ = 0, all_ = 0;
};

}  // namespace

// Of one label, in one fold.
struct ValueRates::Rates {
  double of(Cell cell) const {
    const auto counted = rates->counts(fold, cell);
    return (static_cast<double>(counted[1 + label]) + prior * base) /
           (static_cast<double>(counted[0]) + prior);
  }
  const ValueRates* rates;
  size_t fold, label;
  double base;
};

ValueRates::ValueRates(size_t labels, bool lists)
    : width_(1 + labels),
      lists_(lists),
      counts_(own_cells * 2 * width_),
      all_{std::vector<int64_t>(width_), {}} {
  all_[1] = all_[0];
}

ValueRates::Cell ValueRates::cell_of(int64_t id) {
  if (const auto found = cells_.find(id); found != cells_.end()) return found->second;
  if (cells_.size() == kept) return others;
  const auto cell = static_cast<Cell>(own_cells + cells_.size());
  cells_.emplace(id, cell);
  counts_.resize(counts_.size() + 2 * width_);
  return cell;
}

std::span<const int64_t> ValueRates::counts(size_t fold, Cell cell) const {
  return std::span(counts_).subspan((2 * cell + fold) * width_, width_);
}

void ValueRates::count(size_t fold, Cell cell, std::span<const int64_t> outcome) {
  int64_t* const sums = counts_.data() + (2 * cell + fold) * width_;
  for (size_t i = 0; i < width_; ++i) sums[i] += outcome[i];
}

void ValueRates::add(uint64_t request, std::span<const int64_t> values, std::span<const int64_t> outcome) {
  row_.clear();
  for (const int64_t id : values)
    if (id >= 0) row_.push_back(cell_of(id));
  if (row_.empty()) row_.push_back(missing);
  const size_t fold = fold_of(request);
  for (const Cell cell : row_) count(fold, cell, outcome);
  for (size_t i = 0; i < width_; ++i) all_[fold][i] += outcome[i];
  if (lists_) keep(request, outcome);
}

void ValueRates::keep(uint64_t request, std::span<const int64_t> outcome) {
  if (request > most_hash_) return;
  std::sort(row_.begin(), row_.end());  // the same values have the same mean, to the bit
  list_rows_.push_back({request, list_cells_.size(), list_outcomes_.size()});
  list_cells_.insert(list_cells_.end(), row_.begin(), row_.end());
  list_outcomes_.insert(list_outcomes_.end(), outcome.begin(), outcome.end());
  while (list_cells_.size() + list_outcomes_.size() > kept_lists && most_hash_ > 0) drop_half_of_the_lists();
}

void ValueRates::drop_half_of_the_lists() {
  most_hash_ /= 2;
  const auto rows = std::move(list_rows_);
  const auto cells = std::move(list_cells_);
  const auto outcomes = std::move(list_outcomes_);
  list_rows_ = {}, list_cells_ = {}, list_outcomes_ = {};
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].request > most_hash_) continue;
    const size_t end = r + 1 < rows.size() ? rows[r + 1].cells : cells.size();
    list_rows_.push_back({rows[r].request, list_cells_.size(), list_outcomes_.size()});
    for (size_t i = rows[r].cells; i < end; ++i) list_cells_.push_back(cells[i]);
    for (size_t i = 0; i < width_; ++i) list_outcomes_.push_back(outcomes[rows[r].outcome + i]);
  }
}

ValueRates::Rates ValueRates::rates(size_t fold, size_t label) const {
  const auto& all = all_[fold];
  return {this, fold, label,
          all[0] > 0 ? static_cast<double>(all[1 + label]) / static_cast<double>(all[0]) : 0.0};
}

double ValueRates::auc(size_t label) const {
  Pairs pairs;
  for (const size_t fold : {size_t{0}, size_t{1}}) {
    const Rates other = rates(1 - fold, label);
    if (lists_) {
      for (size_t r = 0; r < list_rows_.size(); ++r) {
        if (fold_of(list_rows_[r].request) != fold) continue;
        const size_t begin = list_rows_[r].cells;
        const size_t end = r + 1 < list_rows_.size() ? list_rows_[r + 1].cells : list_cells_.size();
        double sum = 0;
        for (size_t i = begin; i < end; ++i) sum += other.of(list_cells_[i]);
        const int64_t* const outcome = list_outcomes_.data() + list_rows_[r].outcome;
        pairs.add(sum / static_cast<double>(end - begin), outcome[0], outcome[1 + label]);
      }
    } else {
      for (size_t cell = 0; cell < own_cells + cells_.size(); ++cell) {
        const auto counted = counts(fold, static_cast<Cell>(cell));
        pairs.add(other.of(static_cast<Cell>(cell)), counted[0], counted[1 + label]);
      }
    }
    pairs.end_fold();
  }
  return pairs.share_in_order();
}

}  // namespace lime
