#include "io/features_alone.h"

#include <algorithm>
#include <limits>
#include <span>

#include "io/number_boundaries.h"
#include "runtime/error.h"
#include "runtime/philox.h"

namespace lime {
namespace {

// Of a request, whatever part it is in. One user's requests of one time are one.
uint64_t hash_of(int64_t user, int64_t time_ms) {
  return mix64(static_cast<uint64_t>(user) ^ mix64(static_cast<uint64_t>(time_ms)));
}

}  // namespace

FeaturesAlone::FeaturesAlone(const ResolvedSpec& spec, const std::vector<std::string>& labels)
    : width_(1 + labels.size()) {
  for (const auto& label : labels) labels_.push_back({label});
  for (const FeatureSide side : {FeatureSide::candidate, FeatureSide::user})
    for (const auto& feature : features_of(spec, side)) {
      LIME_CHECK(feature.kind != ColumnKind::real, feature.name);
      features_[static_cast<size_t>(side)].emplace_back(labels.size(), feature.kind == ColumnKind::ids);
    }
}

void FeaturesAlone::add(const MicroBatch& batch) {
  std::vector<uint64_t> requests, of_candidates;
  std::vector<int64_t> of_users;
  outcomes_.clear();
  for (size_t r = 0; r < batch.user_id.size(); ++r) {
    requests.push_back(hash_of(batch.user_id[r], batch.time_ms[r]));
    const size_t sums = of_users.size();
    of_users.resize(sums + width_);
    for (auto c = static_cast<size_t>(batch.candidate_offsets[r]);
         c < static_cast<size_t>(batch.candidate_offsets[r + 1]); ++c) {
      of_candidates.push_back(requests.back());
      outcomes_.push_back(1);
      for (size_t l = 0; l < labels_.size(); ++l)
        outcomes_.push_back(batch.labels[c * labels_.size() + l] >= 0.5f ? 1 : 0);
      for (size_t i = 0; i < width_; ++i) of_users[sums + i] += outcomes_[outcomes_.size() - width_ + i];
    }
    for (size_t l = 0; l < labels_.size(); ++l) {
      labels_[l].positives += of_users[sums + 1 + l];
      labels_[l].negatives += of_users[sums] - of_users[sums + 1 + l];
    }
  }
  add_rows(FeatureSide::candidate, batch.candidate, of_candidates);
  outcomes_ = std::move(of_users);
  add_rows(FeatureSide::user, batch.user, requests);
}

void FeaturesAlone::add_rows(FeatureSide side, const FeatureColumns& columns,
                             const std::vector<uint64_t>& requests) {
  auto& features = features_[static_cast<size_t>(side)];
  for (size_t f = 0; f < features.size(); ++f) {
    const IdColumn& column = columns.id_columns[f];
    const std::span<const int64_t> ids(column.ids), outcomes(outcomes_);
    for (size_t row = 0; row < requests.size(); ++row) {
      const auto begin = column.offsets.empty() ? row : static_cast<size_t>(column.offsets[row]);
      const auto end = column.offsets.empty() ? row + 1 : static_cast<size_t>(column.offsets[row + 1]);
      features[f].add(requests[row], ids.subspan(begin, end - begin), outcomes.subspan(row * width_, width_));
    }
  }
}

std::vector<double> FeaturesAlone::auc(FeatureSide side, size_t feature) const {
  std::vector<double> all;
  if (side == FeatureSide::history) return all;
  for (size_t l = 0; l < labels_.size(); ++l)
    all.push_back(labels_[l].enough() ? features_[static_cast<size_t>(side)][feature].auc(l)
                                      : std::numeric_limits<double>::quiet_NaN());
  return all;
}

void add_giveaways(FeatureSide side, const std::string& feature, const std::vector<LabelCount>& labels,
                   const std::vector<double>& auc, std::vector<Giveaway>& giveaways) {
  if (feature == (side == FeatureSide::user ? "user" : "item")) return;
  for (size_t l = 0; l < auc.size(); ++l)
    if (auc[l] >= giveaway_auc) giveaways.push_back({side, feature, labels[l].name, auc[l]});
}

Giveaways find_giveaways(const Dataset& dataset, const std::vector<std::string>& days,
                         int64_t most_candidates, const std::function<void(int64_t, int64_t)>& progress) {
  ReaderOptions options;
  int64_t total = 0;
  for (auto day = days.rbegin(); day != days.rend() && total < most_candidates; ++day) {
    options.days.insert(options.days.begin(), *day);
    total += dataset.day(*day).candidates;
  }
  Giveaways giveaways;
  if (total == 0) return giveaways;
  total = std::min(total, most_candidates);
  const DatasetSchema& schema = dataset.schema();
  FeatureNames names = available_features(schema);
  options.spec.candidate = std::move(names.candidate);
  options.spec.user = std::move(names.user);
  options.spec.tasks = schema.labels;
  options.spec.buckets = find_buckets(dataset, options.days, options.spec, number_buckets);
  options.virtual_shards = 1;
  options.requests = 1024;
  options.history_mode = HistoryMode::none;
  options.shuffle = false;
  const ResolvedSpec spec = resolve_features(schema, options.spec);
  FeaturesAlone alone(spec, schema.labels);
  BatchReader reader(dataset, options);
  int64_t done = 0;
  for (Batch batch = reader.next(); !batch.ended() && done < total; batch = reader.next()) {
    for (const MicroBatch& micro : batch.micro) {
      alone.add(micro);
      done += micro.candidate_offsets.back();
    }
    if (progress) progress(std::min(done, total), total);
  }
  for (const FeatureSide side : {FeatureSide::candidate, FeatureSide::user}) {
    const auto& features = features_of(spec, side);
    for (size_t f = 0; f < features.size(); ++f)
      add_giveaways(side, features[f].name, alone.labels(), alone.auc(side, f), giveaways.found);
  }
  giveaways.labels = alone.labels();
  return giveaways;
}

}  // namespace lime
