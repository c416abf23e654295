#include "launch/table_sizes.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>
#include <vector>

#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int64_t place_bytes = 32;  // of an id: 16 in a hash table that is about half full

// The features that look up a table.
std::set<std::string> features_of(const Config& config, const std::string& table) {
  std::set<std::string> features;
  for (const auto* names : {&config.features.history, &config.features.candidate, &config.features.user})
    for (const auto& name : *names)
      if (table_of(config.embeddings, name) == table) features.insert(name);
  return features;
}

std::string gigabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

}  // namespace

std::string table_sizes(const Config& config, const Dataset& dataset, const EmbeddingCollection& collection) {
  std::vector<std::string> known, unknown;
  for (size_t t = 0; t < collection.tables().size(); ++t) {
    const TableConfig& table = collection.tables()[t];
    const int64_t row_bytes = 4 * (table.dim + collection.state_width(static_cast<int64_t>(t))) + place_bytes;
    const auto features = features_of(config, table.name);
    std::optional<int64_t> most;
    if (table.capacity > 0) most = table.capacity;
    const auto at_most = [&](int64_t rows) { most = std::min(most.value_or(rows), rows); };
    if (features == std::set<std::string>{"user"}) at_most(dataset.users());
    if (features == std::set<std::string>{"age"}) at_most(config.features.age_buckets);
    // Items that have no features may come too.
    const bool of_items = features == std::set<std::string>{"item"} && dataset.items() > 0;
    const bool about = of_items && (!most || dataset.items() < *most);
    if (about) most = dataset.items();
    if (most)
      known.push_back(str(table.name, about ? " about " : " at most ", grouped(*most), " rows of ", row_bytes,
                          " bytes (", gigabytes(*most * row_bytes), ")"));
    else
      unknown.push_back(str(table.name, " of ", row_bytes));
  }
  std::string text = "tables: " + joined(known);
  if (!unknown.empty())
    text += str(known.empty() ? "" : "; ", "a row for each id that is met, in bytes: ", joined(unknown));
  return text;
}

}  // namespace lime
