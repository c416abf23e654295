// What a dataset's features hold, in words (io/feature_profile.h), for `lime inspect --features`.
#pragma once

#include <string>

#include "io/feature_profile.h"

namespace lime {

// A line a feature, then the days that are unlike the others, at most so many lines of them.
std::string to_text(const DatasetProfile&, size_t most_days = 20);

}  // namespace lime
