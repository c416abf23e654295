// Where a dataset's numbers are cut into buckets (io/number_buckets.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/reader.h"

namespace lime {

// The real columns among the features of a spec, by name.
std::vector<std::string> number_features(const DatasetSchema&, const BatchSpec&);

// For each name equal_buckets, at most so many, of what the columns of that name that the features read hold
// on these days: of about `most_values` at most from each, spread evenly over files and rows; users and
// items, which have no day, all count. Depends on the dataset, the days, the features and the count alone.
// Throws UserError where a file is not what the dataset says.
std::map<std::string, NumberBuckets> find_buckets(const Dataset&, const std::vector<std::string>& days,
                                                  const BatchSpec&,
                                                  const std::map<std::string, int64_t>& counts,
                                                  int64_t most_values = int64_t{1} << 20);
// Of all number_features of the spec, so many of each.
std::map<std::string, NumberBuckets> find_buckets(const Dataset&, const std::vector<std::string>& days,
                                                  const BatchSpec&, int64_t count);

}  // namespace lime
