// The table of configuration keys: one entry a key, read by the parser, --set, to_yaml and the documentation.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"

namespace lime {

using KeyPath = std::vector<std::string>;  // {"train", "adamw", "beta1"}

// A scalar or a list of scalars, as text: what YAML and --set values are before a key gives them a type.
struct ConfigValue {
  bool is_list = false;
  std::vector<std::string> items;  // one item where it is a scalar
  std::string shown() const;       // for messages: -3, [a, b]
};

struct ConfigKey {
  // "train.epochs"; a component in angle brackets stands for a name or position of the user's.
  std::string path;
  std::string expected;  // "an integer >= 1": ends every message about a value that does not fit
  std::string help;      // meaning, with unit
  bool required = false;
  // False where the value does not fit. `name` is what stands for the component in angle brackets.
  std::function<bool(Config&, const std::string& name, const ConfigValue&)> set;
  // As YAML. Only for names that names() gives.
  std::function<std::string(const Config&, const std::string& name)> get;
  // For keys with a component in angle brackets: the names in use.
  std::function<std::vector<std::string>(const Config&)> names;
};

// In the order of the documentation; a table's defaults stand before its overrides, so that order serves for
// applying too.
const std::vector<ConfigKey>& config_keys();

KeyPath split_path(const std::string& path);
std::string join_path(const KeyPath& path);
bool is_placeholder(const std::string& component);
// The components match, placeholders matching anything.
bool path_matches(const ConfigKey& key, const KeyPath& path);
// The user's name in the place of the placeholder, or "".
std::string placeholder_value(const ConfigKey& key, const KeyPath& path);
// The known key that was probably meant, if one is close.
std::optional<std::string> nearest_key(const KeyPath& unknown);
// A scalar as YAML reads it back: plain where that is safe, else in double quotes.
std::string yaml_scalar(const std::string& text);

}  // namespace lime
