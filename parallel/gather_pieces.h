// Gathering more than one rank should hold twice.
#pragma once

#include <functional>
#include <span>

#include "parallel/communicator.h"

namespace lime {

// Collective, over host memory, blocking. Every rank's bytes go to `root` in pieces of at most `piece_bytes`,
// each given to `sink` there (nothing is elsewhere) with the rank that it came from: a rank's pieces in
// order, those of several ranks in turn. What root holds of them is what sink keeps, and one piece of every
// rank.
void gather_pieces(Communicator&, std::span<const char> mine, size_t piece_bytes, int root,
                   const std::function<void(int rank, std::span<const char> piece)>& sink);

}  // namespace lime
