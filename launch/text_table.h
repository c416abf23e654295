// Tables as plain text.
#pragma once

#include <string>
#include <vector>

namespace lime {

// A line a row: the first column left-aligned, the others right-aligned, two spaces between them. Widths are
// counted in characters (UTF-8); rows may be shorter than others.
// `words`: the column of that number, from 0, is left-aligned as well.
std::string aligned_table(const std::vector<std::vector<std::string>>& rows, size_t words = 0);

}  // namespace lime
