// What joins ranks and hosts, measured; for rank_bench.cc.
#pragma once

#include <utility>
#include <vector>

#include "launch/rank_bench.h"
#include "runtime/context.h"

namespace lime {

// Collective, the same result on all ranks: all-reduces and all-to-alls of growing size, by the communicator
// that training uses (of f32, on the context's device). None of one rank.
std::vector<CollectiveTime> time_collectives(ProcessGroup&, Context&, Communicator&, double seconds,
                                             int64_t largest_bytes);

// Collective, the result on rank 0: from each host to each other one, by the first rank of each. In rounds,
// in each of which a host meets one other.
std::vector<HostLink> time_links(ProcessGroup&, const std::vector<int>& host_of);

// All pairs of n, in rounds of disjoint ones: n - 1 rounds, n if n is odd.
std::vector<std::vector<std::pair<int, int>>> rounds_of_pairs(int n);

}  // namespace lime
