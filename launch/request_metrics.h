// How the candidates of one request are ranked. docs/metrics.md has the definitions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "launch/metrics.h"

namespace lime {

struct RequestMetrics {
  double auc;   // share of its (positive, negative) pairs in the right order; a tie counts half
  double mrr;   // 1 / rank of the first positive
  double ndcg;  // nDCG@10, gains are labels (Jarvelin and Kekalainen 2002)
};

constexpr int64_t ndcg_ranks = 10;

// Of a request's rows, ascending by logit, none of them NaN; nullopt where they are of one class. Candidates
// with the same logit stand in any order with the same probability: MRR and nDCG are what is expected then
// (McSherry and Najork 2008), so that ties neither help nor harm. The same bits for every order of tied rows
// with the same labels.
std::optional<RequestMetrics> request_metrics(std::span<const ScoredRow> rows);

}  // namespace lime
