// What the features of a dataset hold, before a model reads them: how much is missing, how many different
// values there are, what each alone says of the labels (features_alone.h), and the days that are unlike the
// others, on which a column broke, or the world changed.
//
// Everything is counted as a model would read it: features of users and requests once a request, those of
// items and candidates once a candidate, and those of histories once an event of the last few of each
// request.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/features_alone.h"

namespace lime {

constexpr int64_t users_of_a_day = 100;
constexpr int64_t profiled_events = 16;  // of a request's history, the latest

// The value that so many of a hundred numbers are below, to within one of a hundred: a number that is there,
// or less than one.
struct Percentile {
  float value = 0;
  bool less = false;
};

struct FeatureProfile {
  std::string name;                  // "user.tab", as in `lime importance`
  ColumnKind kind = ColumnKind::id;  // as it is stored
  int64_t rows = 0, missing = 0;     // rows without an id or number, or with an empty list
  int64_t values = 0;                // of all rows: ids, of which a list has any number
  int64_t distinct = 0;              // of ids (value_counters.h)
  bool distinct_is_exact = true;
  int64_t most_frequent = -1, times = 0;  // of ids, at least so often
  std::vector<Percentile> percentiles;    // of numbers: these_percentiles; empty: at most one number
  std::vector<double> auc;  // by label, of the feature alone; NaN: too few of a kind. Empty: of histories
};
constexpr int these_percentiles[] = {1, 25, 50, 75, 99};

// A day on which a feature is unlike what it usually is: the median of the days, group by group of its values
// (ids in 256 groups by their hash, numbers in a hundred buckets).
struct UnlikeDay {
  std::string day, feature;
  double missing = 0, usually_missing = 0;  // shares of the rows
  // The share of the day's rows that would have to change for it to be a usual one (total variation), less
  // what chance makes among so many users.
  double distance = 0;
};

struct DatasetProfile {
  std::vector<std::string> days;
  int64_t requests = 0, candidates = 0, events = 0;  // rows of user, candidate and history features
  std::vector<FeatureProfile> features;              // histories', candidates', users'
  std::vector<LabelCount> labels;                    // of the dataset
  std::vector<Giveaway> giveaways;                   // in order of features
  int64_t compared = 0;  // days of at least users_of_a_day: the others are not told to be like or unlike
  std::vector<UnlikeDay> unlike;  // the most unlike first
};

// Reads the days once, all columns. Throws UserError naming the file that is broken.
DatasetProfile profile_features(const Dataset&, const std::vector<std::string>& days,
                                const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace lime
