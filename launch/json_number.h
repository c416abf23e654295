// Numbers in JSON, which has no NaN.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>

namespace lime {

// null where the value is not finite.
inline nlohmann::ordered_json json_number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

}  // namespace lime
