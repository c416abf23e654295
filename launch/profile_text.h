// What a dataset's features hold, in words (io/feature_profile.h), for `lime inspect --features`.
#pragma once

#include <string>

#include "io/feature_profile.h"

namespace lime {

// A line a feature, with its AUC by this label of the dataset ("": the first that has one); features that
// give a label away; the days that are unlike the others, at most so many lines of them.
std::string to_text(const DatasetProfile&, const std::string& label = "", size_t most_days = 20);

}  // namespace lime
