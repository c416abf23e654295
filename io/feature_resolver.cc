#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "io/reader.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

[[noreturn]] void unknown(const std::string& key, const char* what, const std::string& name,
                          const std::vector<std::string>& known) {
  if (known.empty()) throw UserError(str(key, ": unknown ", what, " '", name, "'; the dataset has none"));
  throw UserError(str(key, ": unknown ", what, " '", name, "' (nearest: '", nearest_word(name, known),
                      "'); available: ", joined(known)));
}

struct Group {
  std::vector<ResolvedFeature> features;
  int64_t reals = 0;
};

// What is there in every dataset, then columns of `groups` in the schema's order.
std::vector<ResolvedFeature> with_columns(std::vector<ResolvedFeature> known, const DatasetSchema& schema,
                                          const std::set<ColumnGroup>& groups) {
  for (const auto& column : schema.columns)
    if (groups.count(column.group)) known.push_back({column.name, column.kind, column.group});
  return known;
}

std::vector<std::string> names_of(const std::vector<ResolvedFeature>& features) {
  std::vector<std::string> names(features.size());
  std::ranges::transform(features, names.begin(), &ResolvedFeature::name);
  return names;
}

bool has_column(const DatasetSchema& schema, ColumnGroup group, const std::string& name) {
  return std::any_of(schema.columns.begin(), schema.columns.end(),
                     [&](const auto& column) { return column.group == group && column.name == name; });
}

// Of two columns of one name the event's own is the history's, and the item's that of candidates.
std::vector<ResolvedFeature> history_features(const DatasetSchema& schema) {
  using enum ColumnGroup;
  constexpr auto id = ColumnKind::id;
  if (!schema.event_items) return with_columns({{"age", id, event}}, schema, {event});
  auto known = with_columns({{"item", id, event}, {"age", id, event}}, schema, {item, event});
  std::erase_if(known, [&](const auto& feature) {
    return feature.source == item && has_column(schema, event, feature.name);
  });
  return known;
}

std::vector<ResolvedFeature> candidate_features(const DatasetSchema& schema) {
  using enum ColumnGroup;
  return with_columns({{"item", ColumnKind::id, candidate}}, schema, {item, candidate});
}

std::vector<ResolvedFeature> user_features(const DatasetSchema& schema) {
  using enum ColumnGroup;
  return with_columns({{"user", ColumnKind::id, user}}, schema, {user, request});
}

// What events without an item cannot have, told apart from a name that nobody knows.
void check_event_items(const DatasetSchema& schema, const std::vector<std::string>& names) {
  if (schema.event_items) return;
  for (const auto& name : names) {
    const bool of_item = name == "item" || has_column(schema, ColumnGroup::item, name);
    if (!of_item || has_column(schema, ColumnGroup::event, name)) continue;
    throw UserError(str("features.history: found '", name, name == "item" ? "'" : "', a column of items",
                        ", and the events of this dataset have no item; available: ",
                        joined(names_of(history_features(schema)))));
  }
}

using Buckets = std::map<std::string, NumberBuckets>;

// The feature, as ids where it is a number that has buckets.
ResolvedFeature in_buckets(ResolvedFeature feature, const Buckets& buckets) {
  const auto found = buckets.find(feature.name);
  if (found == buckets.end() || feature.kind != ColumnKind::real) return feature;
  if (!found->second.known())
    throw UserError(str("features.buckets.", feature.name, ": found ", found->second.count,
                        " buckets, whose boundaries a run finds when it begins; expected these boundaries"));
  if (found->second.count == 0) return feature;
  feature.kind = ColumnKind::id;
  feature.buckets = found->second;
  return feature;
}

Group resolve(const std::string& key, const std::vector<std::string>& names,
              const std::vector<ResolvedFeature>& known, const Buckets& buckets) {
  Group group;
  std::set<std::string> seen;
  for (const auto& name : names) {
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const auto& feature) { return feature.name == name; });
    if (found == known.end()) unknown(key, "feature", name, names_of(known));
    if (!seen.insert(name).second) throw UserError(str(key, ": feature '", name, "' is given twice"));
    group.features.push_back(in_buckets(*found, buckets));
    group.reals += group.features.back().kind == ColumnKind::real;
  }
  return group;
}

// Features of one name look up one table. That is what item and author are for; but a column `age` of ids is
// somebody's age, and the history's is a bucket of the time since an event.
void check_ages(const Group& history, const std::string& key, const Group& others) {
  const auto has_age = [](const Group& group) {
    return std::any_of(group.features.begin(), group.features.end(), [](const auto& feature) {
      return feature.name == "age" && feature.kind != ColumnKind::real;
    });
  };
  if (!has_age(history) || !has_age(others)) return;
  const bool number = std::ranges::any_of(others.features, [](const auto& feature) {
    return feature.name == "age" && feature.stored_kind() == ColumnKind::real;
  });
  throw UserError(str(key,
                      ": column 'age' would share a table with the age of features.history, which is the "
                      "time since an event; expected another name for it when it is imported, ",
                      number ? "features.buckets.age: 0, " : "", "or one of the two"));
}

// Of ids there are none. (Not of a column that no feature reads, which harms nothing.)
void check_buckets(const Buckets& buckets, std::initializer_list<const Group*> groups) {
  for (const auto& [name, unused] : buckets) {
    bool read = false, number = false;
    for (const Group* group : groups)
      for (const auto& feature : group->features) {
        if (feature.name != name) continue;
        read = true;
        number |= feature.stored_kind() == ColumnKind::real;
      }
    if (read && !number)
      throw UserError(str("features.buckets.", name, ": '", name, "' has ids, expected a column of numbers"));
  }
}

void check_column(const std::string& key, const char* what, const std::string& name,
                  const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), name) == known.end()) unknown(key, what, name, known);
}

}  // namespace

void check_label(const DatasetSchema& schema, const std::string& label, const std::string& key) {
  check_column(key, "label", label, schema.labels);
}

FeatureNames available_features(const DatasetSchema& schema) {
  return {names_of(history_features(schema)), names_of(candidate_features(schema)),
          names_of(user_features(schema))};
}

ResolvedSpec resolve_features(const DatasetSchema& schema, const BatchSpec& spec) {
  check_event_items(schema, spec.history);
  auto history = resolve("features.history", spec.history, history_features(schema), spec.buckets);
  auto shown = resolve("features.candidate", spec.candidate, candidate_features(schema), spec.buckets);
  auto context = resolve("features.user", spec.user, user_features(schema), spec.buckets);
  check_ages(history, "features.candidate", shown);
  check_ages(history, "features.user", context);
  check_buckets(spec.buckets, {&history, &shown, &context});
  for (const auto& task : spec.tasks) check_label(schema, task, "tasks");
  for (const auto& weight : spec.sample_weights)
    if (!weight.empty()) check_column("tasks", "sample weight", weight, schema.weights);
  if (!spec.metric_weight.empty())
    check_column("eval.watch_time", "weight", spec.metric_weight, schema.weights);
  return {std::move(history.features),
          std::move(shown.features),
          std::move(context.features),
          history.reals,
          shown.reals,
          context.reals};
}

}  // namespace lime
