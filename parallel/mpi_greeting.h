// The first messages of a job, internal to parallel/.
#pragma once

namespace lime {

// Collective. A word between any two ranks, so that they connect now. Throws UserError naming the ranks that
// were not heard within the limit: MPI would wait for them in its own calls, forever.
void greet_all_ranks(double limit_s);

}  // namespace lime
