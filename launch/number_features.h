// A run's columns of numbers: the buckets that they are put in when it begins.
#pragma once

#include <string>

#include "model/config.h"

namespace lime {

// The configuration of a run that begins, with the boundaries of all its columns of numbers: those that
// features.buckets does not name get NumberBuckets::standard buckets, or none where the run has the weights
// of another (train.from), which knew none. Reads the dataset's training days; throws UserError as io/ does.
Config with_buckets(Config);

// "numbers in buckets: price 32, age_years 29", or "" where there are none.
std::string buckets_line(const Config&);

}  // namespace lime
