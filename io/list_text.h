// A list that a field of text holds: its values, with a separator between them.
//
// Brackets around it are left out, and then spaces and quotes around each value, too: programs write "[1, 2]"
// and "['a', 'b']". An empty text is a list without values.
#pragma once

#include <cstddef>
#include <string_view>

namespace lime {

class ListText {
 public:
  ListText() = default;
  // Views of both; the separator has at least one character.
  ListText(std::string_view text, std::string_view separator);

  size_t left() const;                 // values that next() has not given yet
  bool next(std::string_view& value);  // false: none is left

 private:
  std::string_view rest_, separator_;
  bool bare_ = true;  // without brackets: values stand as they are
  bool ended_ = true;
};

}  // namespace lime
