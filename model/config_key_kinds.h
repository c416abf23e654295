// The kinds of configuration keys: how a number, a word, a choice or a list of names is read, checked and
// written, and where it is in a Config.
#pragma once

#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "model/config_keys.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime::config_key {

// As YAML has it: a number may begin with "+".
template <typename T>
std::optional<T> parse_yaml_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  return parse_number<T>(text);
}

template <typename T>
std::string number_text(T value) {
  char buffer[64];
  // The shortest text that reads back the same.
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

// c.train.adamw.beta1 from the chain of member pointers.
template <typename... Members>
auto at(Members... members) {
  return [=](auto& config, const std::string&) -> auto& { return (config.*....*members); };
}

// The entry called `name` of the map at a chain of member pointers: a new one on first touch.
template <typename... Members>
auto at_entry(Members... members) {
  return [=](auto& config, const std::string& name) -> auto& {
    auto& entries = (config.*....*members);
    if constexpr (std::is_const_v<std::remove_reference_t<decltype(config)>>)
      return entries.at(name);
    else
      return entries[name];
  };
}

// A member of the table called `name`: a copy of the defaults on first touch.
template <typename Member>
auto at_table(Member member) {
  return [=](auto& config, const std::string& name) -> auto& {
    auto& tables = config.embeddings.tables;
    if constexpr (!std::is_const_v<std::remove_reference_t<decltype(config)>>) {
      const auto [table, added] = tables.try_emplace(name, config.embeddings.defaults);
      if (added) table->second.name = name;
    }
    return tables.at(name).*member;
  };
}

// A member of the task at position `name`.
template <typename Member>
auto at_task(Member member) {
  return [=](auto& config, const std::string& name) -> auto& {
    return config.tasks.at(std::stoul(name)).*member;
  };
}

template <typename Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

template <typename T>
std::string range_text(const char* noun, T low, T high) {
  const bool open = high == std::numeric_limits<T>::max();
  return open ? str(noun, " >= ", number_text(low))
              : str(noun, " in ", number_text(low), "..", number_text(high));
}

template <typename T, typename Access>
ConfigKey number_key(std::string path, Access access, const char* noun, T low, T high, std::string help) {
  ConfigKey key{std::move(path), range_text(noun, low, high), std::move(help), false, {}, {}, {}};
  key.set = [=](Config& config, const std::string& name, const ConfigValue& value) {
    const auto number = value.is_list ? std::nullopt : parse_yaml_number<T>(value.items.front());
    if (!number || !(*number >= low && *number <= high)) return false;
    access(config, name) = *number;
    return true;
  };
  key.get = [=](const Config& config, const std::string& name) {
    return number_text<T>(access(config, name));
  };
  return key;
}

inline constexpr int64_t no_limit = std::numeric_limits<int64_t>::max();
inline constexpr double no_bound = std::numeric_limits<double>::max();
inline constexpr double below_one = 0.9999999;  // a moment that decays

template <typename Access>
ConfigKey integer(std::string path, Access access, int64_t low, int64_t high, std::string help) {
  return number_key<int64_t>(std::move(path), access, "an integer", low, high, std::move(help));
}

template <typename Access>
ConfigKey real(std::string path, Access access, double low, double high, std::string help) {
  return number_key<double>(std::move(path), access, "a number", low, high, std::move(help));
}

template <typename Access>
ConfigKey boolean(std::string path, Access access, std::string help) {
  ConfigKey key{std::move(path), "true or false", std::move(help), false, {}, {}, {}};
  key.set = [=](Config& config, const std::string& name, const ConfigValue& value) {
    if (value.is_list || (value.items.front() != "true" && value.items.front() != "false")) return false;
    access(config, name) = value.items.front() == "true";
    return true;
  };
  key.get = [=](const Config& config, const std::string& name) {
    return std::string(access(config, name) ? "true" : "false");
  };
  return key;
}

template <typename Access>
ConfigKey text(std::string path, Access access, std::string expected, std::string help) {
  ConfigKey key{std::move(path), std::move(expected), std::move(help), false, {}, {}, {}};
  key.set = [=](Config& config, const std::string& name, const ConfigValue& value) {
    if (value.is_list) return false;
    access(config, name) = value.items.front();
    return true;
  };
  key.get = [=](const Config& config, const std::string& name) { return yaml_scalar(access(config, name)); };
  return key;
}

// Names for the values of an enum, or of a string that is one of them.
template <typename T>
using Choices = std::vector<std::pair<std::string, T>>;
Choices<std::string> words(std::initializer_list<const char*>);

template <typename T, typename Access>
ConfigKey choice(std::string path, Access access, Choices<T> choices, std::string help) {
  std::string expected = "one of";
  for (size_t i = 0; i < choices.size(); ++i) expected += (i ? ", " : " ") + choices[i].first;
  ConfigKey key{std::move(path), expected, std::move(help), false, {}, {}, {}};
  key.set = [=](Config& config, const std::string& name, const ConfigValue& value) {
    for (const auto& [word, meaning] : choices)
      if (!value.is_list && value.items.front() == word) {
        access(config, name) = meaning;
        return true;
      }
    return false;
  };
  key.get = [=](const Config& config, const std::string& name) {
    for (const auto& [word, meaning] : choices)
      if (access(config, name) == meaning) return word;
    return std::string("?");
  };
  return key;
}

// "[a, b]", each as YAML reads it back.
std::string list_text(const std::vector<std::string>& items);

std::optional<NumberBuckets> parse_buckets(const ConfigValue&);
std::string buckets_text(const NumberBuckets&);

template <typename Access>
ConfigKey names(std::string path, Access access, std::string help) {
  ConfigKey key{std::move(path), "a list of different names", std::move(help), false, {}, {}, {}};
  key.set = [=](Config& config, const std::string& name, const ConfigValue& value) {
    std::set<std::string> seen;
    for (const auto& item : value.items)
      if (item.empty() || !seen.insert(item).second) return false;
    access(config, name) = value.items;
    return true;
  };
  key.get = [=](const Config& config, const std::string& name) { return list_text(access(config, name)); };
  return key;
}

// A number of buckets, or the list of their boundaries.
template <typename Access>
ConfigKey buckets(std::string path, Access access, std::string help) {
  ConfigKey key{std::move(path),
                "an integer in 0..65536, or a list of rising numbers",
                std::move(help),
                false,
                {},
                {},
                {}};
  key.set = [=](Config& config, const std::string& name, const ConfigValue& value) {
    const std::optional<NumberBuckets> buckets = parse_buckets(value);
    if (buckets) access(config, name) = *buckets;
    return buckets.has_value();
  };
  key.get = [=](const Config& config, const std::string& name) { return buckets_text(access(config, name)); };
  return key;
}

ConfigKey required(ConfigKey);

}  // namespace lime::config_key
