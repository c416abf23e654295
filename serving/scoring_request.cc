#include "serving/scoring_request.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/feature_columns.h"
#include "runtime/error.h"

namespace lime {

ScoringRequest::ScoringRequest(const ResolvedSpec& spec, int64_t age_buckets, int64_t max_history)
    : age_buckets_(age_buckets), max_history_(max_history) {
  history_.features = spec.history, history_.real_width = spec.history_real;
  user_.features = spec.user, user_.real_width = spec.user_real;
  clear();
}

void ScoringRequest::clear() {
  clear(history_, 0);
  clear(user_, 1);
}

void ScoringRequest::clear(Values& group, int64_t rows) {
  group.rows = rows;
  group.rows_of.assign(group.features.size(), -1);
  group.columns.id_columns.resize(
      static_cast<size_t>(static_cast<int64_t>(group.features.size()) - group.real_width));
  auto column = group.columns.id_columns.begin();
  for (const auto& feature : group.features) {
    if (feature.kind == ColumnKind::real) continue;
    const bool list = feature.kind == ColumnKind::ids;
    column->ids.assign(list ? 0 : static_cast<size_t>(rows), -1);
    column->offsets.assign(list ? static_cast<size_t>(rows) + 1 : 0, 0);
    ++column;
  }
  group.reals_of.assign(group.features.size(), {});
  group.columns.real.assign(static_cast<size_t>(rows * group.real_width), 0.0f);
}

// Side by side, those of each as far as there are rows: check() refuses features of different numbers of
// rows.
void ScoringRequest::join_reals(Values& group) {
  const auto rows = static_cast<size_t>(group.rows), width = static_cast<size_t>(group.real_width);
  group.columns.real.assign(rows * width, 0.0f);
  size_t column = 0;
  for (size_t f = 0; f < group.features.size(); ++f) {
    if (group.features[f].kind != ColumnKind::real) continue;
    const auto& reals = group.reals_of[f];
    for (size_t i = 0; i < std::min(rows, reals.size()); ++i)
      group.columns.real[i * width + column] = reals[i];
    ++column;
  }
}

size_t ScoringRequest::find(const Values& group, const std::string& name, ColumnKind kind) {
  std::string known;
  for (size_t f = 0; f < group.features.size(); ++f) {
    const ResolvedFeature& feature = group.features[f];
    if (feature.name == name && feature.stored_kind() == kind) return f;
    if (feature.name == name)
      throw UserError(str("features.", group.key, ": '", name, "' holds ", to_string(feature.stored_kind()),
                          " values, found ", to_string(kind)));
    known += (known.empty() ? "" : ", ") + feature.name;
  }
  throw UserError(str("features.", group.key, ": the model has no feature '", name, "'; it has ",
                      known.empty() ? "none" : known));
}

IdColumn& ScoringRequest::id_column(Values& group, size_t feature) {
  const auto reals =
      std::count_if(group.features.begin(), group.features.begin() + static_cast<ptrdiff_t>(feature),
                    [](const auto& f) { return f.kind == ColumnKind::real; });
  return group.columns.id_columns[feature - static_cast<size_t>(reals)];
}

void ScoringRequest::split_reals(Values& group) {
  const auto width = static_cast<size_t>(group.real_width);
  size_t column = 0;
  for (size_t f = 0; f < group.features.size(); ++f) {
    if (group.features[f].kind != ColumnKind::real) continue;
    auto& reals = group.reals_of[f];
    reals.resize(static_cast<size_t>(group.rows));
    for (size_t i = 0; i < reals.size(); ++i) reals[i] = group.columns.real[i * width + column];
    ++column;
  }
}

void ScoringRequest::set_rows(Values& group, size_t feature, int64_t rows) {
  group.rows_of[feature] = rows;
  group.rows = rows;
}

void ScoringRequest::set_ids(Group which, const std::string& feature, std::span<const int64_t> ids) {
  Values& group = values(which);
  const size_t f = find(group, feature, ColumnKind::id);
  id_column(group, f).ids.assign(ids.begin(), ids.end());
  set_rows(group, f, static_cast<int64_t>(ids.size()));
}

void ScoringRequest::set_lists(Group which, const std::string& feature, std::span<const int64_t> ids,
                               std::span<const int64_t> offsets) {
  Values& group = values(which);
  const size_t f = find(group, feature, ColumnKind::ids);
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != static_cast<int64_t>(ids.size()) ||
      !std::is_sorted(offsets.begin(), offsets.end()))
    throw UserError(
        str("features.", group.key, ": '", feature, "': expected ascending offsets from 0 to ", ids.size()));
  IdColumn& column = id_column(group, f);
  column.ids.assign(ids.begin(), ids.end());
  column.offsets.assign(offsets.begin(), offsets.end());
  set_rows(group, f, static_cast<int64_t>(offsets.size()) - 1);
}

void ScoringRequest::set_reals(Group which, const std::string& feature, std::span<const float> reals) {
  Values& group = values(which);
  const size_t f = find(group, feature, ColumnKind::real);
  for (size_t i = 0; i < reals.size(); ++i)
    if (std::isinf(reals[i]))
      throw UserError(str("features.", group.key, ": '", feature, "': value ", i, " is ", reals[i],
                          ", expected finite numbers"));
  set_rows(group, f, static_cast<int64_t>(reals.size()));
  if (const auto& buckets = group.features[f].buckets) {
    auto& ids = id_column(group, f).ids;
    ids.resize(reals.size());
    std::ranges::transform(reals, ids.begin(), [&](float value) { return buckets->bucket_of(value); });
    return;
  }
  group.reals_of[f].resize(reals.size());
  std::ranges::transform(reals, group.reals_of[f].begin(),
                         [](float value) { return std::isnan(value) ? 0.0f : value; });
  join_reals(group);
}

bool ScoringRequest::has_ages() const {
  return std::ranges::any_of(history_.features, [](const auto& f) { return f.name == "age"; });
}

void ScoringRequest::set_ages(int64_t request_ms, std::span<const int64_t> event_ms) {
  if (!has_ages()) return;
  std::vector<int64_t> buckets(event_ms.size());
  std::transform(event_ms.begin(), event_ms.end(), buckets.begin(),
                 [&](int64_t event) { return age_bucket(request_ms, event, age_buckets_); });
  set_ids(Group::history, "age", buckets);
}

void ScoringRequest::assign(const MicroBatch& batch, int64_t row) {
  const auto r = static_cast<size_t>(row);
  const int64_t begin = batch.history_offsets[r], end = batch.history_offsets[r + 1];
  history_.columns = slice_rows(batch.history, begin, end, history_.real_width);
  user_.columns = slice_rows(batch.user, row, row + 1, user_.real_width);
  history_.rows = end - begin, user_.rows = 1;
  split_reals(history_);
  split_reals(user_);
  std::fill(history_.rows_of.begin(), history_.rows_of.end(), end - begin);
  std::fill(user_.rows_of.begin(), user_.rows_of.end(), 1);
}

void ScoringRequest::check_made_for(const ResolvedSpec& spec, int64_t age_buckets,
                                    int64_t max_history) const {
  const auto same = [](const ResolvedFeature& a, const ResolvedFeature& b) {
    return a.name == b.name && a.kind == b.kind && a.buckets == b.buckets;
  };
  for (const auto& [group, features] : {std::pair{&history_, &spec.history}, std::pair{&user_, &spec.user}})
    if (!std::equal(group->features.begin(), group->features.end(), features->begin(), features->end(), same))
      throw UserError(str("features.", group->key, ": the request was made for another model"));
  const auto expect = [](const char* key, int64_t found, int64_t expected) {
    if (found != expected)
      throw UserError(
          str(key, ": the request was made for another model, with ", found, ", expected ", expected));
  };
  if (has_ages()) expect("features.age_buckets", age_buckets_, age_buckets);
  expect("data.max_history", max_history_, max_history);
}

void ScoringRequest::check() const {
  for (const Values* group : {&history_, &user_})
    for (size_t f = 0; f < group->features.size(); ++f) {
      const bool of_user = group == &user_;
      const int64_t expected = of_user ? 1 : group->rows,
                    found = group->rows_of[f] < 0 ? (of_user ? 1 : 0) : group->rows_of[f];
      if (found != expected)
        throw UserError(str("features.", group->key, ": '", group->features[f].name, "' has ", found,
                            " values, expected ", expected, of_user ? "" : ", one for each event"));
    }
  if (history_.rows > max_history_)
    throw UserError(str("a history of ", history_.rows, " events, expected at most data.max_history (",
                        max_history_, "): give the last ones"));
}

}  // namespace lime
