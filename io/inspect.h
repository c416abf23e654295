// A dataset in words, for `lime inspect`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/dataset.h"

namespace lime {

// Several lines: users, events, days with label rates, history lengths, columns, parts, size, facts.
// `verify` also reads every column of every file, so that a flipped byte is found, and checks that each
// request's history ends strictly before it. Throws UserError naming the file and column.
std::string inspect(const Dataset&, bool verify);

// How many events each user has, ascending.
std::vector<int64_t> history_lengths(const Dataset&);

}  // namespace lime
