// Text for people: lists, and what was probably meant by a word that is not known. And the numbers that they
// write.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "runtime/error.h"

namespace lime {

// "a, b, c": the items of a range as str() writes them.
template <typename Range>
std::string joined(const Range& items, std::string_view separator = ", ") {
  std::string text;
  bool first = true;
  for (const auto& item : items) {
    if (!first) text += separator;
    first = false;
    text += str(item);
  }
  return text;
}

// The number that a text is, the whole of it, whatever the locale: no space, no "+".
template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

// Without the spaces and tabs at both ends.
std::string_view trimmed(std::string_view text);

// "a.b" -> a, b. Nothing between two separators is an empty word, and an empty text is one empty word.
std::vector<std::string> split(std::string_view text, char separator);

// Thousands apart: "12,345".
std::string grouped(int64_t value);
// ... with so many digits after the point, and a typographic minus. NaN is "-".
std::string grouped(double value, int digits);

// The known word with the smallest edit distance for its length, so that a longer form of a word is nearer
// than an unlike one of the same length; "" if none is known. Swapped neighbours count once.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

// The known word that was probably meant: its edit distance is the smallest, and at most a third of the
// word's length (`near` is always near enough).
std::optional<std::string> likely_word(std::string_view word, const std::vector<std::string>& known,
                                       size_t near = 2);

// " (did you mean 'epochs'?)", or nothing.
std::string did_you_mean(const std::optional<std::string>& word);

}  // namespace lime
