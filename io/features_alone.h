// What each feature of candidates and users alone says of the labels, so that a column that gives a label
// away is seen before a model learns from it: one that is only known afterwards (seconds watched, a price
// paid), or was made of the label.
//
// A feature's AUC is that of its values' rates (value_rates.h), over all candidates, as a model would read
// them: numbers in a hundred buckets. It is no bound for what a model gets of it together with others, and
// finds no column that gives away a little, such as a mean over the whole log.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/batch.h"
#include "io/dataset.h"
#include "io/feature_shuffle.h"
#include "io/reader.h"
#include "io/value_rates.h"

namespace lime {

constexpr int64_t number_buckets = 100;  // which numbers are read through, here and in feature profiles

// A label has an AUC where there are so many candidates of either kind: then chance moves it by .03 at most
// (one standard deviation), and by less than .01 where it is near giveaway_auc.
constexpr int64_t least_of_a_kind = 100;

// From here on a feature alone is taken to give the label away: fewer than one pair of twenty is in the wrong
// order. Of what is known before a click the best features alone reach .68 and .72 on the two real logs of
// docs/quality.md, and whole models .75 and .79; what is known after it, .98 and more.
constexpr double giveaway_auc = 0.95;

struct LabelCount {
  std::string name;
  int64_t positives = 0, negatives = 0;  // candidates whose label is at least 0.5, and others
  bool enough() const { return positives >= least_of_a_kind && negatives >= least_of_a_kind; }
};

class FeaturesAlone {
 public:
  // Of batches with these features, whose numbers are in buckets, and with these tasks.
  FeaturesAlone(const ResolvedSpec&, const std::vector<std::string>& labels);
  void add(const MicroBatch&);

  const std::vector<LabelCount>& labels() const { return labels_; }
  // AUC by label, NaN of labels of which there are not enough; of the side's feature of that number. Of
  // histories: empty.
  std::vector<double> auc(FeatureSide, size_t feature) const;

 private:
  void add_rows(FeatureSide, const FeatureColumns&, const std::vector<uint64_t>& requests);

  size_t width_;                                     // of an outcome: candidates, then positives by label
  std::array<std::vector<ValueRates>, 3> features_;  // by side
  std::vector<LabelCount> labels_;
  std::vector<int64_t> outcomes_;  // rows x width of the side that is added
};

struct Giveaway {
  FeatureSide side = FeatureSide::candidate;
  std::string feature, label;
  double auc = 0;
};

// The feature and each label that it gives away. Ids of users and items never do: whoever asks knows them.
void add_giveaways(FeatureSide, const std::string& feature, const std::vector<LabelCount>&,
                   const std::vector<double>& auc, std::vector<Giveaway>&);

struct Giveaways {
  std::vector<Giveaway> found;
  std::vector<LabelCount> labels;  // of the candidates that were looked at
};

// All of a dataset, of the last of these days that have `most_candidates` together, and not of many more
// candidates than these. Throws UserError naming the file that is broken.
Giveaways find_giveaways(const Dataset&, const std::vector<std::string>& days, int64_t most_candidates,
                         const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace lime
