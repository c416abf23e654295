#include "model/config_key_kinds.h"

#include <cmath>

namespace lime::config_key {

Choices<std::string> words(std::initializer_list<const char*> list) {
  Choices<std::string> choices;
  for (const char* word : list) choices.emplace_back(word, word);
  return choices;
}

std::string list_text(const std::vector<std::string>& items) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : ", ") + yaml_scalar(item);
  return "[" + text + "]";
}

std::optional<NumberBuckets> parse_buckets(const ConfigValue& value) {
  if (!value.is_list) {
    const auto count = parse_yaml_number<int64_t>(value.items.front());
    if (!count || *count < 0 || *count > 65536) return std::nullopt;
    return NumberBuckets{*count, {}};
  }
  std::vector<float> boundaries;
  for (const auto& item : value.items) {
    const auto boundary = parse_yaml_number<float>(item);
    if (!boundary || !std::isfinite(*boundary)) return std::nullopt;
    if (!boundaries.empty() && *boundary <= boundaries.back()) return std::nullopt;
    boundaries.push_back(*boundary);
  }
  return NumberBuckets::between(std::move(boundaries));
}

std::string buckets_text(const NumberBuckets& buckets) {
  if (buckets.count == 0 || !buckets.known()) return number_text(buckets.count);
  std::vector<std::string> items;
  for (const float boundary : buckets.boundaries) items.push_back(number_text(boundary));
  return list_text(items);
}

ConfigKey required(ConfigKey key) {
  key.required = true;
  return key;
}

}  // namespace lime::config_key
