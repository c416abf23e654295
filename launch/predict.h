// Scores of every candidate of some days in one HDF5 file.
#pragma once

#include <string>
#include <vector>

#include "launch/scoring.h"

namespace lime {

// Collective. Rank 0 writes the file (launch/scores_file.h), atomically, the same bytes for any number of
// ranks. Throws the same UserError on all ranks, having removed what it wrote, if it cannot be written; so is
// Interrupted (scoring.signal). No rank holds more than a batch's scores.
void predict(const Scoring&, const std::vector<std::string>& days, HistoryMode, const std::string& out_path,
             const ScoringProgress& progress = {});

}  // namespace lime
