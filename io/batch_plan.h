// BatchPlan: where the batches of one virtual shard end, so that all shards end with the epoch's last batch,
// none of them is much smaller than the others, and ranks have equally much to do in each (ADRs 23 and 25).
//
// Without a token budget, a shard has given floor(j * requests / n) of its requests after batch j of n. With
// one it has given about j / n of its cost, where each window of requests costs the batches that it would
// fill by itself, by the limit that it meets first: histories grow from day to day, and the first days of a
// log may meet the one limit and the last days the other. A batch stays within both limits.
#pragma once

#include <cstdint>
#include <vector>

#include "io/history_load.h"

namespace lime {

// Most of a micro-batch: requests, and events of their histories; 0 tokens: any number.
struct BatchLimits {
  int64_t requests = 0, tokens = 0;
};

// Batches that these windows fill, one after the other: with room for histories that do not fit in any more.
double cost_of(const std::vector<WindowLoad>&, BatchLimits);

class BatchPlan {
 public:
  // As large as the limits allow.
  explicit BatchPlan(BatchLimits);
  // For limits without a budget: so many requests in so many batches.
  BatchPlan(BatchLimits, int64_t batches, int64_t requests);
  // For a budget: the windows of the epoch in the order in which they are read, in so many batches.
  BatchPlan(BatchLimits, int64_t batches, const std::vector<std::vector<WindowLoad>>& windows);

  // What has been spent of the epoch's cost after the first requests of a window, and their tokens.
  struct WindowCost {
    double before = 0, a_request = 0, a_token = 0;
    double after(int64_t requests, int64_t tokens) const {
      return before + a_request * static_cast<double>(requests) + a_token * static_cast<double>(tokens);
    }
    // In the middle of the request that comes next.
    double middle(int64_t requests, int64_t tokens, int64_t next_tokens) const {
      return (after(requests, tokens) + after(requests + 1, tokens + next_tokens)) / 2;
    }
  };
  WindowCost window(int64_t unit, int64_t window) const;

  // The batch that begins where so many requests, and so much of the cost, are done ends with this many
  // requests, or before it exceeds the budget, or before the request whose middle is at `cost` or beyond; one
  // request always goes in.
  struct End {
    int64_t requests;
    double cost;
  };
  End next_end(int64_t requests_done, double cost_done) const;
  int64_t budget() const { return limits_.tokens; }

 private:
  BatchLimits limits_;
  int64_t batches_ = 0, requests_ = 0;
  double cost_ = 0;                             // of the epoch
  std::vector<std::vector<WindowCost>> units_;  // windows of each
};

}  // namespace lime
