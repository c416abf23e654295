// ValueRates: how well one feature alone ranks candidates by each label.
//
// The values of a feature are cells: an id, a number's bucket, a value of a list; to be missing, or to be an
// empty list, is a cell of its own. Requests are in two folds, by a hash. A candidate's score is the rate of
// its cell in the other fold, which its own label has no part in, so that an id that comes once says nothing:
//
//   (positives + prior * base rate of that fold) / (candidates + prior)
//
// the mean of these where a row has several values. The AUC is that of all pairs within a fold, ties half: a
// feature that has one value has 0.5.
//
// One pass, bounded memory: the first `kept` ids have cells, all that come later are one, so that the AUC of
// more ids is too near 0.5; and of lists the rows of so many requests as make `kept_lists` numbers are
// scored, drawn by the requests' hashes, while all rows count for the rates. Depends on the rows and, above
// `kept` ids, on their order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace lime {

class ValueRates {
 public:
  static constexpr double prior = 10;  // candidates of the base rate, beside a cell's own
  static constexpr size_t kept = size_t{1} << 16;
  static constexpr size_t kept_lists = size_t{1} << 20;

  ValueRates(size_t labels, bool lists);

  // A row: its values (those below 0 are none, at most one unless `lists`), and the candidates that it
  // describes: outcome[0] how many there are, outcome[1 + l] how many of them are positive by label l.
  // `request`: a hash of it.
  void add(uint64_t request, std::span<const int64_t> values, std::span<const int64_t> outcome);

  double auc(size_t label) const;  // NaN: no pair of a positive and a negative

 private:
  using Cell = uint32_t;
  static constexpr Cell missing = 0, others = 1, own_cells = 2;  // and from there on
  struct Rates;
  struct ListRow {  // its cells, and its outcome, begin there
    uint64_t request;
    size_t cells, outcome;
  };
  static size_t fold_of(uint64_t request) { return request & 1; }

  Cell cell_of(int64_t id);
  void count(size_t fold, Cell, std::span<const int64_t> outcome);
  std::span<const int64_t> counts(size_t fold, Cell cell) const;
  void keep(uint64_t request, std::span<const int64_t> outcome);
  void drop_half_of_the_lists();
  Rates rates(size_t fold, size_t label) const;

  const size_t width_;  // of an outcome
  const bool lists_;
  std::unordered_map<int64_t, Cell> cells_;  // of ids
  std::vector<int64_t> counts_;              // outcomes summed, by cell and fold
  std::array<std::vector<int64_t>, 2> all_;  // ... of all rows of a fold
  std::vector<Cell> row_;                    // cells of the row that is added
  // Rows of lists that are scored: of requests whose hash is at most this.
  uint64_t most_hash_ = UINT64_MAX;
  std::vector<ListRow> list_rows_;
  std::vector<Cell> list_cells_;
  std::vector<int64_t> list_outcomes_;
};

}  // namespace lime
