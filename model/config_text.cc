// A configuration as text: resolved YAML, the model's signature, and the documentation of all keys.
#include <set>

#include "model/config.h"
#include "model/config_key_kinds.h"
#include "model/config_keys.h"
#include "runtime/error.h"

namespace lime {
namespace {

// Writes paths as nested YAML, opening sections where the path leaves the last one. Positions become list
// items.
class YamlWriter {
 public:
  void add(const KeyPath& path, const std::string& value) {
    size_t common = 0;
    while (common + 1 < path.size() && common < open_.size() && path[common] == open_[common]) ++common;
    for (size_t depth = common; depth + 1 < path.size(); ++depth) {
      if (is_position(path, depth)) continue;  // "- " in front of its first key
      line(path, depth, "");
    }
    open_.assign(path.begin(), path.end() - 1);
    item_starts_ = path.size() >= 2 && common + 1 < path.size() && is_position(path, path.size() - 2);
    line(path, path.size() - 1, str(" ", value));
    item_starts_ = false;
  }
  std::string take() { return std::move(text_); }

 private:
  static bool is_position(const KeyPath& path, size_t depth) { return depth == 1 && path.front() == "tasks"; }
  void line(const KeyPath& path, size_t depth, const std::string& value) {
    std::string indent(2 * depth, ' ');
    if (item_starts_) indent[2 * depth - 2] = '-';
    text_ += str(indent, yaml_scalar(path[depth]), ":", value, "\n");
  }

  KeyPath open_;
  bool item_starts_ = false;
  std::string text_;
};

KeyPath with_name(const ConfigKey& key, const std::string& name) {
  KeyPath path = split_path(key.path);
  for (auto& component : path)
    if (is_placeholder(component)) component = name;
  return path;
}

// Keys that stand under one placeholder ("embeddings.tables.<table>.*") have the same text up to it.
std::string placeholder_prefix(const ConfigKey& key) { return key.path.substr(0, key.path.find('>')); }

std::string section_of(const ConfigKey& key) { return split_path(key.path).front(); }

std::string default_of(const ConfigKey& key) {
  if (key.required) return "required";
  if (!key.names) return key.get(Config{}, "");
  if (key.path.starts_with("embeddings.tables.")) return "as in embeddings";
  Config one;
  one.tasks.emplace_back();
  one.features.buckets[""];
  if (key.path.starts_with("features.buckets.")) return key.get(one, "");
  return key.path.starts_with("tasks.") ? key.get(one, "0") : "none";
}

std::string describe_markdown() {
  std::string text, section;
  for (const auto& key : config_keys()) {
    if (section_of(key) != section) {
      section = section_of(key);
      const bool single = key.path == section && section != "tasks";
      const std::string title = single ? "" : str("\n## ", section, "\n");
      if (text.empty() || !single)
        text += str(title, "\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    }
    std::string expected = key.expected;
    for (const std::string article : {"an ", "a "})
      if (expected.starts_with(article)) expected.erase(0, article.size());
    const std::string standard = key.required ? default_of(key) : str("`", default_of(key), "`");
    text += str("| `", key.path, "` | ", expected, " | ", standard, " | ", key.help, " |\n");
  }
  return text;
}

// Of the keys that are `wanted`.
template <typename Wanted>
std::string describe_text(Wanted&& wanted) {
  std::string text, section;
  for (const auto& key : config_keys()) {
    if (!wanted(key)) continue;
    if (section_of(key) != section && !text.empty()) text += "\n";
    section = section_of(key);
    text += str(key.path, "  (", key.expected, "; ", key.required ? "" : "default ", default_of(key),
                ")\n    ", key.help, "\n");
  }
  return text;
}

}  // namespace

std::string to_yaml(const Config& config) {
  YamlWriter yaml;
  const auto& keys = config_keys();
  for (size_t k = 0; k < keys.size();) {
    if (keys[k].path == "tasks") {  // written in full, as mappings
      ++k;
      continue;
    }
    if (!keys[k].names) {
      yaml.add(split_path(keys[k].path), keys[k].get(config, ""));
      ++k;
      continue;
    }
    size_t end = k;
    while (end < keys.size() && placeholder_prefix(keys[end]) == placeholder_prefix(keys[k])) ++end;
    for (const auto& name : keys[k].names(config))
      for (size_t i = k; i < end; ++i) yaml.add(with_name(keys[i], name), keys[i].get(config, name));
    k = end;
  }
  return yaml.take();
}

std::string model_signature(const Config& config) {
  std::string text;
  const auto add = [&](const std::string& key, const auto& value) { text += str(key, ": ", value, "\n"); };
  for (const auto& key : config_keys()) {
    if (!key.path.starts_with("model.") && !key.path.starts_with("features.")) continue;
    if (!key.names) add(key.path, key.get(config, ""));
  }
  // A number that is read as it is has no line, as in checkpoints of before there were buckets.
  for (const auto& [name, buckets] : config.features.buckets)
    if (buckets.count > 0) add("features.buckets." + name, config_key::buckets_text(buckets));
  std::set<std::string> tables;
  for (const auto& feature : all_features(config.features)) {
    const std::string table = table_of(config.embeddings, feature);
    tables.insert(table);
    const auto pooling = config.embeddings.pooling.find(feature);
    const bool sum = pooling != config.embeddings.pooling.end() && pooling->second == Pooling::sum;
    add(str("feature.", feature), str(table, sum ? ", sum" : ", mean"));
  }
  for (const auto& name : tables) {
    Config one;  // so that the optimizer's name comes from the table of keys
    one.embeddings.tables[name] = table_config(config.embeddings, name);
    for (const auto& key : config_keys())
      for (const char* member : {"dim", "capacity", "optimizer"})
        if (key.path == str("embeddings.tables.<table>.", member))
          add(str("table.", name, ".", member), key.get(one, name));
    // f32 has no line, as in checkpoints of before there was a choice.
    if (const DType type = one.embeddings.tables[name].type; type != DType::f32)
      add(str("table.", name, ".type"), to_string(type));
  }
  for (const auto& task : config.tasks) add("task", task.label);
  return text;
}

std::string describe_keys_of(const std::string& section) {
  const KeyPath asked = split_path(section);
  return describe_text([&](const ConfigKey& key) {
    const KeyPath path = split_path(key.path);
    return path.size() >= asked.size() &&
           std::equal(asked.begin(), asked.end(), path.begin(),
                      [](const auto& a, const auto& p) { return is_placeholder(p) || a == p; });
  });
}

std::string describe_keys(bool markdown) {
  return markdown ? describe_markdown() : describe_text([](const ConfigKey&) { return true; });
}

}  // namespace lime
