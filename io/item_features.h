// ItemFeatures: the candidate features of items, whatever request they are shown in.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/item_table.h"
#include "io/read_plan.h"

namespace lime {

// Those of features.candidate that are columns of the impression (a price of that day, a position): they are
// no property of the item, so that nothing that they enter can be computed before the request.
std::vector<std::string> features_of_impressions(const DatasetSchema&,
                                                 const std::vector<std::string>& candidate);

class ItemFeatures {
 public:
  // Throws UserError naming a candidate feature that is no property of the item (a column of the impression).
  static void check(const DatasetSchema&, const BatchSpec&);

  // `items`: a file in the format of items.h5 (docs/data_format.md), read if a feature is a column of it.
  // Checks.
  ItemFeatures(const DatasetSchema&, const BatchSpec&, const std::string& items);

  // One row an item, in the order of features.candidate. An item that the file does not have has none of its
  // columns' values, as in training.
  FeatureColumns columns(std::span<const int64_t> items) const;

 private:
  ReadPlan plan_;
  std::unique_ptr<ItemTable> table_;  // null where no feature needs it
};

// The ids of a file in the format of items.h5, ascending.
std::vector<int64_t> read_item_ids(const std::string& items);

}  // namespace lime
