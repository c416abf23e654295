// Rows of links: what each of `links` links and each of B requests has, as one row for each pair, and the
// sums that go back.
//
//   links  n x c        requests  B x c        pairs  B*n x c: request b's rows are [b*n, (b+1)*n)
//
// Sums run in a fixed order and are of the parameters' type, as links' gradients are.
#pragma once

#include "runtime/context.h"

namespace lime {

// y[b*n + i] = links[i] + requests[b]
void add_request_rows(Context&, const ConstView& links, const ConstView& requests, View y);
// y[b*n + i] += links[i]
void add_links(Context&, const ConstView& links, View y);

// dlinks[i] += the sum over b of dy[b*n + i].   dlinks: contiguous
void sum_over_requests(Context&, const ConstView& dy, View dlinks);
// drequests[b] = the sum over i of dy[b*n + i]; of dy's type.
void sum_over_links(Context&, const ConstView& dy, View drequests);

}  // namespace lime
