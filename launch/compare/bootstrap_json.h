// What the bootstrap gives, in JSON.
#pragma once

#include <cctype>
#include <string>

#include "launch/compare/bootstrap.h"
#include "launch/json_number.h"

namespace lime {

inline nlohmann::ordered_json to_json(const Estimate& e) {
  return {{"value", json_number(e.value)}, {"low", json_number(e.low)}, {"high", json_number(e.high)}};
}

// As in eval.json: "wt_auc".
inline std::string json_key(MetricKind kind) {
  std::string key = to_string(kind);
  for (char& c : key) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return key;
}

}  // namespace lime
