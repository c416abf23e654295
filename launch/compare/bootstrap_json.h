// What the bootstrap gives, in JSON.
#pragma once

#include "launch/compare/bootstrap.h"
#include "launch/json_number.h"

namespace lime {

inline nlohmann::ordered_json to_json(const Estimate& e) {
  return {{"value", json_number(e.value)}, {"low", json_number(e.low)}, {"high", json_number(e.high)}};
}

}  // namespace lime
