#include "model/config_yaml.h"

#include <algorithm>

#include "io/yaml_document.h"
#include "runtime/error.h"

namespace lime {
namespace {

class Flattener {
 public:
  // `lines`: positions are lines of a file, not of an option's text.
  Flattener(std::string origin, bool lines) : origin_(std::move(origin)), lines_(lines) {}

  void walk(const YAML::Node& node, const KeyPath& path) {
    if (node.IsMap()) {
      walk_map(node, path);
    } else if (node.IsSequence() && has_mapping(node)) {
      for (size_t i = 0; i < node.size(); ++i) {
        KeyPath item = path;
        item.push_back(std::to_string(i));
        if (node[i].IsScalar()) item.push_back("label");  // tasks: [a, {label: b, weight: 2}]
        walk(node[i], item);
      }
    } else if (node.IsSequence()) {
      ConfigValue list{true, {}};
      for (const auto& item : node) {
        if (!item.IsScalar())
          throw UserError(
              str(where(item), ": ", join_path(path), ": found a list or nothing, expected a name"));
        list.items.push_back(item.Scalar());
      }
      entries_.push_back({path, std::move(list), where(node)});
    } else if (node.IsScalar()) {
      entries_.push_back({path, {false, {node.Scalar()}}, where(node)});
    } else {
      entries_.push_back({path, {false, {""}}, where(node)});  // nothing: an empty section, or an empty value
    }
  }

  std::vector<ConfigEntry> take() { return std::move(entries_); }

 private:
  static bool has_mapping(const YAML::Node& list) {
    return std::any_of(list.begin(), list.end(), [](const YAML::Node& item) { return item.IsMap(); });
  }

  void walk_map(const YAML::Node& map, const KeyPath& path) {
    for (const auto& pair : map) {
      KeyPath key = path;
      key.push_back(pair.first.Scalar());
      walk(pair.second, key);
    }
  }

  std::string where(const YAML::Node& node) const {
    return lines_ ? str(origin_, ":", node.Mark().line + 1) : origin_;
  }

  std::string origin_;
  bool lines_;
  std::vector<ConfigEntry> entries_;
};

bool starts_with(const KeyPath& path, const KeyPath& prefix) {
  return path.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), path.begin());
}

}  // namespace

std::vector<ConfigEntry> flatten_yaml(const std::string& text, const std::string& origin) {
  const YAML::Node root = load_yaml(text, origin);
  if (root.IsNull() || !root.IsDefined()) return {};
  if (!root.IsMap()) throw UserError(str(origin, ":1: found a list or a word, expected keys like 'data:'"));
  Flattener flattener(origin, true);
  flattener.walk(root, {});
  return flattener.take();
}

void apply_override(std::vector<ConfigEntry>& entries, const std::string& key, const std::string& value) {
  const std::string origin = "--set";
  const YAML::Node node = load_yaml(value, origin + " " + key, false);
  Flattener flattener(origin, false);
  const KeyPath path = split_path(key);
  flattener.walk(node, path);
  const auto replace = [&](const KeyPath& prefix) {
    std::erase_if(entries, [&](const ConfigEntry& entry) { return starts_with(entry.path, prefix); });
  };
  if (!node.IsMap()) replace(path);
  auto added = flattener.take();
  for (const auto& entry : added) replace(entry.path);
  entries.insert(entries.end(), added.begin(), added.end());
}

}  // namespace lime
