// Building an item cache: the rows of items, by their features and the weights alone.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/item_features.h"
#include "serving/item_cache.h"
#include "serving/served_model.h"

namespace lime {

using CacheProgress = std::function<void(int64_t done, int64_t total)>;

// The items of `items` (a file in the format of items.h5); where that is "", those of the dataset's items.h5,
// or, of a dataset without one, those that the checkpoint has an embedding for. Ascending. Throws UserError
// where there is no telling.
std::vector<int64_t> items_to_cache(const ServedModel&, const std::string& items);

// Throws UserError, leaving nothing behind, where the model has no links, a row cannot be stored, or the file
// cannot be written; so does what `progress` throws. `items` as above: where the features of the items are.
void build_item_cache(const ServedModel&, std::span<const int64_t> ids, const std::string& items, RowType,
                      const std::string& out, const CacheProgress& = {});

// The path of a dataset's items.h5 unless `items` names another.
std::string items_file(const ServedModel&, const std::string& items);

// Of all that the rows of `ids` are computed from besides the weights: equal features, equal digests,
// whatever else the file of items holds.
std::string features_digest(const ItemFeatures&, std::span<const int64_t> ids);

}  // namespace lime
