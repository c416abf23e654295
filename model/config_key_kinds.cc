#include "model/config_key_kinds.h"

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

ConfigKey required(ConfigKey key) {
  key.required = true;
  return key;
}

}  // namespace lime::config_key
