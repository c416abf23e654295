#include "io/list_text.h"

#include "runtime/text.h"

namespace lime {
namespace {

// Whether the text stands between these two characters.
bool is_between(std::string_view text, char first, char last) {
  return text.size() >= 2 && text.front() == first && text.back() == last;
}

std::string_view without_ends(std::string_view text) { return text.substr(1, text.size() - 2); }

}  // namespace

ListText::ListText(std::string_view text, std::string_view separator) : rest_(text), separator_(separator) {
  if (is_between(rest_, '[', ']')) {
    rest_ = trimmed(without_ends(rest_));
    bare_ = false;
  }
  ended_ = rest_.empty();
}

size_t ListText::left() const {
  if (ended_) return 0;
  size_t count = 1;
  for (size_t at = 0; (at = rest_.find(separator_, at)) != std::string_view::npos; at += separator_.size())
    ++count;
  return count;
}

bool ListText::next(std::string_view& value) {
  if (ended_) return false;
  const size_t end = rest_.find(separator_);
  value = rest_.substr(0, end);
  ended_ = end == std::string_view::npos;
  if (!ended_) rest_.remove_prefix(end + separator_.size());
  if (bare_) return true;
  value = trimmed(value);
  if (is_between(value, '\'', '\'') || is_between(value, '"', '"')) value = without_ends(value);
  return true;
}

}  // namespace lime
