// Mixtures of links: what a candidate takes from the links of its request, by its weights for them.
//
//   y_c[h] = sum_i p[c,h,i] values_b[i,h]           b: the candidate's request, h: a head, d_h columns
//
//   p       C x heads*links      values  B*links x d: request b's rows are [b*links, (b+1)*links)
//   y       C x d                segments of `impressions`: the requests' candidates
//
// Sums run in a fixed order.
#pragma once

#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

void mix_links(Context&, int64_t heads, const ConstView& p, const ConstView& values,
               const Jagged& impressions, View y);
// dp and dvalues are overwritten; dvalues of a request without candidates is 0.
void mix_links_backward(Context&, int64_t heads, const ConstView& p, const ConstView& values,
                        const Jagged& impressions, const ConstView& dy, View dp, View dvalues);

}  // namespace lime
