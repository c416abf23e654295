// A YAML file as a flat list of paths and values, each with where it came from.
#pragma once

#include <string>
#include <vector>

#include "model/config_keys.h"

namespace lime {

struct ConfigEntry {
  KeyPath path;
  ConfigValue value;
  std::string where;  // "configs/x.yaml:12" or "--set"
};

// Mappings become paths; lists of scalars are values; lists with mappings become paths with positions
// ("tasks.0.label"). Empty mappings and sections without content vanish. Throws UserError ("origin:line:
// ...") on malformed YAML and on a key that is there twice.
std::vector<ConfigEntry> flatten_yaml(const std::string& text, const std::string& origin);

// One --set: `value` is a YAML scalar, flow list or flow mapping. Takes the place of what `entries` has
// there.
void apply_override(std::vector<ConfigEntry>& entries, const std::string& key, const std::string& value);

}  // namespace lime
