#include "launch/option_checks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

// Where `holds` does not: what was found, and `expected`.
template <typename Holds>
CLI::Validator check(const std::string& description, const std::string& expected, Holds&& holds) {
  return CLI::Validator(
      [expected, holds](std::string& text) {
        return holds(text) ? std::string() : str("found '", text, "', expected ", expected);
      },
      description);
}

CLI::Validator integer(int64_t least, int64_t most, const std::string& expected) {
  return check("", expected, [least, most](const std::string& text) {
    const auto value = parse_number<int64_t>(text);
    return value && *value >= least && *value <= most;
  });
}

}  // namespace

CLI::Validator integer_in(int64_t least, int64_t most) {
  return integer(least, most, str("an integer in ", least, "..", most));
}

CLI::Validator integer_from(int64_t least) {
  return integer(least, std::numeric_limits<int64_t>::max(), str("an integer >= ", least));
}

CLI::Validator positive_number() {
  return check("", "a number > 0", [](const std::string& text) {
    const auto value = parse_number<double>(text);
    return value && std::isfinite(*value) && *value > 0;
  });
}

CLI::Validator one_of(const std::vector<std::string>& words) {
  return check(str("{", joined(words, ","), "}"), str("one of ", joined(words)),
               [words](const std::string& text) {
                 return std::find(words.begin(), words.end(), text) != words.end();
               });
}

}  // namespace lime
