#include <algorithm>
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

// `built_in` comes first in what is available, then columns of `groups` in the schema's order.
Group resolve(const std::string& key, const std::vector<std::string>& names,
              std::vector<ResolvedFeature> known, const DatasetSchema& schema,
              const std::set<ColumnGroup>& groups) {
  for (const auto& column : schema.columns)
    if (groups.count(column.group)) known.push_back({column.name, column.kind, column.group});
  Group group;
  std::set<std::string> seen;
  for (const auto& name : names) {
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const auto& feature) { return feature.name == name; });
    if (found == known.end()) {
      std::vector<std::string> available;
      for (const auto& feature : known) available.push_back(feature.name);
      unknown(key, "feature", name, available);
    }
    if (!seen.insert(name).second) throw UserError(str(key, ": feature '", name, "' is given twice"));
    group.features.push_back(*found);
    group.reals += found->kind == ColumnKind::real;
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
  if (has_age(history) && has_age(others))
    throw UserError(
        str(key,
            ": column 'age' would share a table with the age of features.history, which is the "
            "time since an event; expected another name for it when it is imported, or one of the two"));
}

void check_column(const std::string& key, const char* what, const std::string& name,
                  const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), name) == known.end()) unknown(key, what, name, known);
}

}  // namespace

ResolvedSpec resolve_features(const DatasetSchema& schema, const BatchSpec& spec) {
  using enum ColumnGroup;
  constexpr auto id = ColumnKind::id;
  auto history = resolve("features.history", spec.history, {{"item", id, event}, {"age", id, event}}, schema,
                         {item, event});
  auto shown =
      resolve("features.candidate", spec.candidate, {{"item", id, candidate}}, schema, {item, candidate});
  auto context = resolve("features.user", spec.user, {{"user", id, user}}, schema, {user, request});
  check_ages(history, "features.candidate", shown);
  check_ages(history, "features.user", context);
  for (const auto& task : spec.tasks) check_column("tasks", "label", task, schema.labels);
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
