#include "launch/table_sizes.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int64_t place_bytes = 32;  // of an id: 16 in a hash table that is about half full

// The features that look up a table.
std::set<std::string> features_of(const Config& config, const std::string& table) {
  std::set<std::string> features;
  for (const auto& name : all_features(config.features))
    if (table_of(config.embeddings, name) == table) features.insert(name);
  return features;
}

// "1.6 GB", "12 MB", "300 kB"
std::string size_of(int64_t bytes) {
  constexpr double kilo = 1e3, mega = 1e6, giga = 1e9;
  const auto value = static_cast<double>(bytes);
  if (value < mega) return grouped(value / kilo, 0) + " kB";
  return value < giga ? grouped(value / mega, 0) + " MB" : grouped(value / giga, 1) + " GB";
}

// The first few words, and how many more there are.
std::string shortened(const std::vector<std::string>& words, const char* more) {
  constexpr size_t shown = 4;
  if (words.size() <= shown) return joined(words);
  const std::vector<std::string> first(words.begin(), words.begin() + shown);
  return str(joined(first), " and ", words.size() - shown, more);
}

// Ids of buckets alone: so many.
std::optional<int64_t> buckets_of(const Config& config, const std::set<std::string>& features) {
  if (features.empty()) return std::nullopt;
  int64_t most = 0;
  for (const auto& name : features) {
    const auto found = config.features.buckets.find(name);
    if (found == config.features.buckets.end() || found->second.count == 0) return std::nullopt;
    most = std::max(most, found->second.count);
  }
  return most;
}

struct KnownTable {
  std::string text;
  int64_t bytes;
};

}  // namespace

std::string table_sizes(const Config& config, const Dataset& dataset, const EmbeddingCollection& collection) {
  std::vector<KnownTable> known;
  std::vector<std::string> unknown;
  std::set<int64_t> widths;  // of the unknown ones' rows
  int64_t bytes = 0;
  for (size_t t = 0; t < collection.tables().size(); ++t) {
    const TableConfig& table = collection.tables()[t];
    const int64_t row_bytes = static_cast<int64_t>(size_of(table.type)) * table.dim +
                              4 * collection.state_width(static_cast<int64_t>(t)) + place_bytes;
    const auto features = features_of(config, table.name);
    std::optional<int64_t> most;
    if (table.capacity > 0) most = table.capacity;
    const auto at_most = [&](int64_t rows) { most = std::min(most.value_or(rows), rows); };
    if (features == std::set<std::string>{"user"}) at_most(dataset.users());
    if (features == std::set<std::string>{"age"}) at_most(config.features.age_buckets);
    if (const auto buckets = buckets_of(config, features)) at_most(*buckets);
    // Items that have no features may come too.
    const bool of_items = features == std::set<std::string>{"item"} && dataset.items() > 0;
    const bool about = of_items && (!most || dataset.items() < *most);
    if (about) most = dataset.items();
    if (most) {
      known.push_back(
          {str(table.name, " (", about ? "about " : "", grouped(*most), " rows)"), *most * row_bytes});
      bytes += known.back().bytes;
    } else {
      unknown.push_back(table.name);
      if (table.admit_after > 1)
        unknown.back() += str(" (in ", table.admit_after, " steps; ", place_bytes, " until then)");
      widths.insert(row_bytes);
    }
  }
  std::stable_sort(known.begin(), known.end(),
                   [](const KnownTable& a, const KnownTable& b) { return a.bytes > b.bytes; });
  std::vector<std::string> largest;
  for (const auto& table : known) largest.push_back(table.text);

  std::string text = "tables: ";
  if (!known.empty())
    text +=
        str("at most ", size_of(bytes), " for ", shortened(largest, " smaller"), unknown.empty() ? "" : "; ");
  if (!unknown.empty()) {
    text += str(grouped(*widths.begin()));
    if (widths.size() > 1) text += str(" to ", grouped(*widths.rbegin()));
    text += str(" bytes for each id that is met: ", shortened(unknown, " more"));
  }
  return text;
}

std::optional<std::string> who_waits(Communicator& comm, const EmbeddingCollection& tables) {
  const auto waits = [](const TableConfig& table) { return table.admit_after > 1; };
  if (std::none_of(tables.tables().begin(), tables.tables().end(), waits)) return std::nullopt;
  std::array<int64_t, 2> sums{};
  for (size_t t = 0; t < tables.tables().size(); ++t) {
    sums[0] += tables.rows(static_cast<int64_t>(t));
    sums[1] += tables.waiting(static_cast<int64_t>(t));
  }
  const auto of_ranks = all_gather_values(comm, std::span<const int64_t>(sums));
  sums = {};
  for (size_t i = 0; i < of_ranks.size(); ++i) sums[i % 2] += of_ranks[i];
  return str("tables: ", grouped(sums[0]), " rows, ", grouped(sums[1]), " ids wait for one");
}

}  // namespace lime
