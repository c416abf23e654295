// YAML that people write: the one way in which files of it are read.
#pragma once

#include <yaml-cpp/yaml.h>

#include <string>

namespace lime {

// The document in `text`; null where there is none. Throws UserError, "ORIGIN:LINE: ..." (without the line
// where `lines` is false, of an option's text), where it is not YAML, where there is a second document (it
// would be passed over), and, in any map, at a key that is no single value or is there twice. What it gives
// is a tree of no more than 64 levels: aliases that stand within their own anchor, or that make a short text
// long, are refused.
YAML::Node load_yaml(const std::string& text, const std::string& origin, bool lines = true);

}  // namespace lime
