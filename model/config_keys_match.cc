#include <algorithm>
#include <cstdio>

#include "model/config_keys.h"
#include "runtime/text.h"

namespace lime {
namespace {

// The key's path with the user's own names in place of its placeholders.
std::string instantiate(const ConfigKey& key, const KeyPath& like) {
  KeyPath path = split_path(key.path);
  for (size_t i = 0; i < path.size(); ++i)
    if (is_placeholder(path[i]) && i < like.size()) path[i] = like[i];
  return join_path(path);
}

}  // namespace

std::string ConfigValue::shown() const {
  if (!is_list) return items.front().empty() ? "nothing" : items.front();
  return str("[", joined(items), "]");
}

KeyPath split_path(const std::string& path) { return split(path, '.'); }

std::string join_path(const KeyPath& path) { return joined(path, "."); }

bool is_placeholder(const std::string& component) { return component.starts_with('<'); }

bool path_matches(const ConfigKey& key, const KeyPath& path) {
  const KeyPath pattern = split_path(key.path);
  return std::equal(pattern.begin(), pattern.end(), path.begin(), path.end(),
                    [](const auto& p, const auto& c) { return is_placeholder(p) || p == c; });
}

std::string placeholder_value(const ConfigKey& key, const KeyPath& path) {
  const KeyPath pattern = split_path(key.path);
  for (size_t i = 0; i < pattern.size(); ++i)
    if (is_placeholder(pattern[i])) return path.at(i);
  return "";
}

std::optional<std::string> nearest_key(const KeyPath& unknown) {
  std::vector<std::string> full;
  for (const auto& key : config_keys()) {
    full.push_back(instantiate(key, unknown));
    const KeyPath path = split_path(full.back());
    if (path.size() <= unknown.size()) continue;
    // A section's name. Where it ends with the user's own, what stands before must be near by itself.
    const auto end = path.begin() + static_cast<ptrdiff_t>(unknown.size());
    if (!is_placeholder(split_path(key.path)[unknown.size() - 1]) ||
        likely_word(join_path({unknown.begin(), unknown.end() - 1}), {join_path({path.begin(), end - 1})}))
      full.push_back(join_path({path.begin(), end}));
  }
  if (const auto whole = likely_word(join_path(unknown), full)) return whole;
  // A known last component in the wrong place: the first section that has it, or one very like it. (Of the
  // section that was named it would be near as a whole.)
  std::vector<std::string> last;
  for (const auto& key : config_keys())
    if (!key.names) last.push_back(split_path(key.path).back());
  const auto nearest = likely_word(unknown.back(), last, 1);
  for (const auto& key : config_keys())
    if (nearest && !key.names && split_path(key.path).back() == *nearest) return key.path;
  return std::nullopt;
}

std::string yaml_scalar(const std::string& text) {
  const bool plain =
      !text.empty() && text != "~" && text != "null" && text != "-" && text != "." &&
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:=") ==
          text.npos &&
      std::string_view("+:=").find(text.front()) == std::string_view::npos && text.back() != ':' &&
      !text.starts_with("---") && text != "...";
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace lime
