#include "io/feature_shuffle.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "runtime/error.h"
#include "runtime/shuffle.h"
#include "runtime/text.h"

namespace lime {
namespace {

// Row i becomes row rows[i].
void take_rows(const std::vector<int64_t>& rows, IdColumn& column) {
  IdColumn taken;
  taken.ids.reserve(column.ids.size());
  if (column.offsets.empty()) {
    for (const int64_t row : rows) taken.ids.push_back(column.ids[static_cast<size_t>(row)]);
  } else {
    taken.offsets.push_back(0);
    for (const int64_t row : rows) {
      const auto begin = column.ids.begin() + column.offsets[static_cast<size_t>(row)],
                 end = column.ids.begin() + column.offsets[static_cast<size_t>(row) + 1];
      taken.ids.insert(taken.ids.end(), begin, end);
      taken.offsets.push_back(static_cast<int64_t>(taken.ids.size()));
    }
  }
  column = std::move(taken);
}

// Rows of the histories in an order of the requests, whose lengths they take along.
std::vector<int64_t> rows_of_requests(const std::vector<int64_t>& requests, std::vector<int64_t>& offsets) {
  std::vector<int64_t> rows, taken{0};
  for (const int64_t request : requests) {
    for (int64_t row = offsets[static_cast<size_t>(request)]; row < offsets[static_cast<size_t>(request) + 1];
         ++row)
      rows.push_back(row);
    taken.push_back(static_cast<int64_t>(rows.size()));
  }
  offsets = std::move(taken);
  return rows;
}

}  // namespace

const char* to_string(FeatureSide side) {
  return side == FeatureSide::history ? "history" : side == FeatureSide::candidate ? "candidate" : "user";
}

const std::vector<ResolvedFeature>& features_of(const ResolvedSpec& spec, FeatureSide side) {
  return side == FeatureSide::history     ? spec.history
         : side == FeatureSide::candidate ? spec.candidate
                                          : spec.user;
}

FeatureShuffle::FeatureShuffle(const ResolvedSpec& spec, FeatureSide side,
                               const std::vector<std::string>& features, uint64_t seed)
    : side_(side),
      seed_(seed),
      real_width_(side == FeatureSide::history     ? spec.history_real
                  : side == FeatureSide::candidate ? spec.candidate_real
                                                   : spec.user_real) {
  std::vector<std::string> known;
  size_t ids = 0, reals = 0;
  for (const auto& feature : features_of(spec, side)) {
    known.push_back(feature.name);
    const bool real = feature.kind == ColumnKind::real;
    const size_t column = real ? reals++ : ids++;
    if (!features.empty() && std::find(features.begin(), features.end(), feature.name) == features.end())
      continue;
    (real ? reals_ : ids_).push_back(column);
  }
  for (const auto& name : features)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw UserError(str("features.", to_string(side), " has no '", name, "' (nearest: '",
                          nearest_word(name, known), "'); found ", joined(known)));
  whole_ = ids_.size() + reals_.size() == known.size();
}

void FeatureShuffle::apply(MicroBatch& batch) const {
  if (batch.empty()) return;
  LIME_CHECK(batch.whole_offsets.empty(), "features are shuffled in whole micro-batches");
  const bool histories = side_ == FeatureSide::history && whole_;
  const int64_t rows = side_ == FeatureSide::user || histories ? batch.requests()
                       : side_ == FeatureSide::candidate       ? batch.candidate_offsets.back()
                                                               : batch.history_offsets.back();
  std::vector<int64_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), 0);
  const uint64_t place = stream_of("io.feature_shuffle", static_cast<uint64_t>(batch.day[0]),
                                   static_cast<uint64_t>(batch.part[0]));
  shuffle(order, Philox(seed_, mix64(place ^ static_cast<uint64_t>(batch.row[0]))));
  if (histories) order = rows_of_requests(order, batch.history_offsets);

  FeatureColumns& columns = side_ == FeatureSide::history     ? batch.history
                            : side_ == FeatureSide::candidate ? batch.candidate
                                                              : batch.user;
  for (const size_t c : ids_) take_rows(order, columns.id_columns[c]);
  if (reals_.empty()) return;
  const std::vector<float> own = columns.real;
  const auto width = static_cast<size_t>(real_width_);
  for (size_t row = 0; row < order.size(); ++row)
    for (const size_t c : reals_)
      columns.real[row * width + c] = own[static_cast<size_t>(order[row]) * width + c];
}

}  // namespace lime
