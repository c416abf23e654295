#include "model/config.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "model/config_keys.h"
#include "model/config_yaml.h"
#include "runtime/device.h"
#include "runtime/error.h"
#include "runtime/file_text.h"
#include "runtime/text.h"

namespace lime {
namespace {

std::string where_keys_are_listed(const KeyPath& unknown) {
  const std::string& section = unknown.front();
  const auto in_section = [&](const ConfigKey& key) { return key.path.starts_with(section + "."); };
  return std::ranges::any_of(config_keys(), in_section)
             ? str(" (lime help config ", section, " lists the keys of ", section, ")")
             : " (lime help config lists all keys)";
}

class Parser {
 public:
  Parser(std::string origin, std::vector<ConfigEntry> entries)
      : origin_(std::move(origin)), entries_(std::move(entries)) {}

  Config parse() {
    for (const auto& entry : entries_) check_known(entry);
    for (const auto& key : config_keys()) apply(key);
    fill_batch_spec();
    check();
    return std::move(config_);
  }

 private:
  [[noreturn]] void fail(const std::string& path, const std::string& message) const {
    std::string where = origin_;
    for (const auto& entry : entries_)
      if (join_path(entry.path) == path) where = entry.where;
    throw UserError(str(where, ": ", path, ": ", message));
  }
  void require(bool good, const std::string& path, const std::string& message) const {
    if (!good) fail(path, message);
  }

  void check_known(const ConfigEntry& entry) const {
    const std::string path = join_path(entry.path);
    std::vector<std::string> below;
    for (const auto& key : config_keys()) {
      if (path_matches(key, entry.path)) return;
      const KeyPath pattern = split_path(key.path);
      const auto fits = [&](size_t n) {
        return std::equal(pattern.begin(), pattern.begin() + static_cast<ptrdiff_t>(n), entry.path.begin(),
                          [](const auto& p, const auto& c) { return is_placeholder(p) || p == c; });
      };
      if (pattern.size() > entry.path.size() && fits(entry.path.size())) below.push_back(key.path);
      if (pattern.size() < entry.path.size() && fits(pattern.size()) && key.path != "tasks")
        throw UserError(str(entry.where, ": ", key.path, ": found a mapping, expected ", key.expected));
    }
    const bool nothing = !entry.value.is_list && entry.value.items.front().empty();
    if (!below.empty() && nothing) return;  // a section without content
    if (!below.empty())
      throw UserError(str(entry.where, ": ", path, ": found ", entry.value.shown(),
                          ", expected keys such as ", below.front()));
    const auto nearest = nearest_key(entry.path);
    throw UserError(str(entry.where, ": unknown key '", path, "'",
                        nearest ? did_you_mean(nearest) : where_keys_are_listed(entry.path)));
  }

  void apply(const ConfigKey& key) {
    bool found = false;
    for (const auto& entry : entries_) {
      if (!path_matches(key, entry.path)) continue;
      found = true;
      const std::string name = placeholder_value(key, entry.path);
      if (entry.path.front() == "tasks" && entry.path.size() > 1) make_task(name, entry);
      if (!key.set(config_, name, entry.value))
        throw UserError(str(entry.where, ": ", join_path(entry.path), ": found ", entry.value.shown(),
                            ", expected ", key.expected));
    }
    const bool given = found || (key.path == "tasks" && has_task_mappings());
    if (key.required && !given) throw UserError(str(origin_, ": ", key.path, " is missing (", key.help, ")"));
  }

  bool has_task_mappings() const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [](const ConfigEntry& entry) { return entry.path.front() == "tasks"; });
  }

  // Positions come in order from a file; --set tasks.0.weight=2 changes one that is there.
  void make_task(const std::string& position, const ConfigEntry& entry) {
    const std::string next = std::to_string(config_.tasks.size());
    const bool number = !position.empty() && position.find_first_not_of("0123456789") == std::string::npos;
    if (position == next) config_.tasks.emplace_back();
    if (!number || position.size() > 6 || std::stoul(position) >= config_.tasks.size())
      throw UserError(str(entry.where, ": ", join_path(entry.path), ": there is no task ", position));
  }

  void fill_batch_spec() {
    for (const auto& task : config_.tasks) {
      config_.features.tasks.push_back(task.label);
      config_.features.task_weights.push_back(task.weight);
      config_.features.sample_weights.push_back(task.sample_weight);
    }
    config_.features.metric_weight = config_.eval.watch_time;
  }

  // What one key alone cannot tell.
  void check() const {
    const auto& c = config_;
    try {
      parse_device(c.device);
    } catch (const UserError&) {
      fail("device", str("found ", c.device, ", expected cpu, cuda or cuda:N"));
    }
    require(c.train.precision == Precision::f32 || parse_device(c.device).type == DeviceType::cuda,
            "train.precision",
            str("found ", to_string(c.train.precision), " on device ", c.device,
                ", expected f32, or device cuda"));
    require(!c.data.path.empty(), "data.path", "found nothing, expected a dataset directory");
    require(!c.data.train.empty(), "data.train", "found nothing, expected days");
    for (const auto& [key, list] : {std::pair("features.history", &c.features.history),
                                    std::pair("features.candidate", &c.features.candidate)})
      require(!list->empty(), key, "found an empty list, expected at least one feature");
    const auto v = c.train.micro_batches;
    require((v & (v - 1)) == 0, "train.micro_batches", str("found ", v, ", expected a power of two"));
    const auto parts = c.train.context_parallel;
    require((parts & (parts - 1)) == 0, "train.context_parallel",
            str("found ", parts, ", expected a power of two"));
    require(parts == 1 || cuts_histories(c.model.name), "train.context_parallel",
            str("found ", parts, ", expected 1 with model.name ", c.model.name,
                ": only lime_xor and lime_mha have histories that can be cut"));
    require(c.train.batch_requests >= v, "train.batch_requests",
            str("found ", c.train.batch_requests, ", expected at least train.micro_batches (", v, ")"));
    for (const auto& [key, tokens] : {std::pair{"train.batch_history_tokens", c.train.batch_history_tokens},
                                      {"eval.batch_history_tokens", c.eval.batch_history_tokens}})
      require(tokens == 0 || tokens >= v, key,
              str("found ", tokens, ", expected 0 or at least train.micro_batches (", v, ")"));
    require(c.train.bucket_mb > 0, "train.bucket_mb", "found 0, expected a number > 0");
    require(c.model.width % c.model.heads == 0, "model.width",
            str("found ", c.model.width, ", expected a multiple of model.heads (", c.model.heads, ")"));
    check_tasks();
    check_tables();
  }

  void check_tasks() const {
    require(!config_.tasks.empty(), "tasks", "found an empty list, expected at least one label");
    std::set<std::string> labels;
    for (size_t t = 0; t < config_.tasks.size(); ++t) {
      const std::string& label = config_.tasks[t].label;
      const std::string path = str("tasks.", t, ".label");
      require(!label.empty(), path, "missing, expected a label's name");
      require(labels.insert(label).second, path, str("found '", label, "' twice"));
    }
  }

  void check_tables() const {
    const std::set<std::string> feature_set = all_features(config_.features);
    std::set<std::string> table_set;
    for (const auto& feature : feature_set) table_set.insert(table_of(config_.embeddings, feature));
    const auto check_name = [&](const std::string& path, const std::string& name,
                                const std::set<std::string>& known, const char* what) {
      if (known.contains(name)) return;
      std::string where = path;
      for (const auto& entry : entries_)  // a table's own line is that of its first key
        if (join_path(entry.path).starts_with(path + ".")) {
          where = join_path(entry.path);
          break;
        }
      fail(where, str("no ", what, " '", name, "' is in use",
                      did_you_mean(likely_word(name, {known.begin(), known.end()}))));
    };
    const auto& e = config_.embeddings;
    for (const auto& [name, table] : e.tables)
      check_name("embeddings.tables." + name, name, table_set, "table");
    for (const auto& [name, table] : e.shared) {
      check_name("embeddings.shared." + name, name, feature_set, "feature");
      require(!table.empty(), "embeddings.shared." + name, "found nothing, expected a table's name");
    }
    for (const auto& [name, pooling] : e.pooling)
      check_name("embeddings.pooling." + name, name, feature_set, "feature");
    for (const auto& [name, buckets] : config_.features.buckets)
      check_name("features.buckets." + name, name, feature_set, "feature");
  }

  std::string origin_;
  std::vector<ConfigEntry> entries_;
  Config config_;
};

}  // namespace

const char* to_string(Precision precision) {
  return precision == Precision::f32 ? "f32" : precision == Precision::tf32 ? "tf32" : "bf16";
}

BatchSpec default_features() {
  BatchSpec spec;
  spec.history = {"item", "age"};
  spec.candidate = {"item"};
  spec.user = {"user"};
  return spec;
}

std::set<std::string> all_features(const BatchSpec& config) {
  std::set<std::string> features;
  for (const auto* list : {&config.history, &config.candidate, &config.user})
    features.insert(list->begin(), list->end());
  return features;
}

std::string table_of(const EmbeddingConfig& config, const std::string& feature) {
  const auto shared = config.shared.find(feature);
  return shared == config.shared.end() ? feature : shared->second;
}

TableConfig table_config(const EmbeddingConfig& config, const std::string& table) {
  const auto known = config.tables.find(table);
  TableConfig result = known == config.tables.end() ? config.defaults : known->second;
  result.name = table;
  return result;
}

Config parse_config(const std::string& text, const std::string& origin, const Overrides& overrides) {
  auto entries = flatten_yaml(text, origin);
  for (const auto& [key, value] : overrides) apply_override(entries, key, value);
  return Parser(origin, std::move(entries)).parse();
}

Config load_config(const std::string& path, const Overrides& overrides) {
  if (std::error_code status; std::filesystem::is_directory(path, status))
    throw UserError(str(path, ": is a directory, expected a YAML file"));
  return parse_config(file_text(path), path, overrides);
}

}  // namespace lime
