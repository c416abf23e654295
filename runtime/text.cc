#include "runtime/text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <utility>

namespace lime {
namespace {

// Levenshtein's, with a swap of neighbours counted once.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before = std::exchange(last, now);
  }
  return last[b.size()];
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (c == separator)
      words.emplace_back();
    else
      words.back() += c;
  }
  return words;
}

std::string grouped(int64_t value) { return grouped(static_cast<double>(value), 0); }

std::string grouped(double value, int digits) {
  if (std::isnan(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, std::abs(value));
  std::string number = text;
  const size_t whole = std::min(number.find('.'), number.size());
  for (size_t i = whole; i > 3; i -= 3) number.insert(i - 3, 1, ',');
  const bool zero = number.find_first_of("123456789") == std::string::npos;
  return value < 0 && !zero ? "\u2212" + number : number;
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  double least = std::numeric_limits<double>::max();
  for (const auto& candidate : known) {
    const double distance = static_cast<double>(edit_distance(word, candidate)) /
                            static_cast<double>(std::max(word.size(), candidate.size()) + 1);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

std::optional<std::string> likely_word(std::string_view word, const std::vector<std::string>& known,
                                       size_t near) {
  std::optional<std::string> best;
  size_t best_distance = std::max(near, word.size() / 3) + 1;
  for (const auto& candidate : known) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string did_you_mean(const std::optional<std::string>& word) {
  return word ? str(" (did you mean '", *word, "'?)") : "";
}

}  // namespace lime
