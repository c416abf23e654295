// Ranks beside each other, before a long job: what `lime bench ranks` measures, and what stands out.
//
// Every measurement is made by all ranks at once, as they work in training: ranks of a host share its memory,
// its disk and its network. Products are of the shape that layers make most of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "parallel/process_group.h"

namespace lime {

struct RankBenchOptions {
  std::string device = "cpu";                // "cuda": each rank its own
  double seconds = 1;                        // a measurement
  std::string data;                          // a dataset to read, or ""
  std::string out;                           // a directory to write to, or ""
  int64_t file_bytes = int64_t{64} << 20;    // a rank writes
  int64_t copy_bytes = int64_t{256} << 20;   // a memory copy: beyond any cache
  int64_t product_rows = 0;                  // 0: 512 on the CPU, 65,536 on a device
  int64_t message_bytes = int64_t{4} << 20;  // the largest collective
};

// One number of each rank, of which more is better.
struct RankRates {
  std::string name, unit;  // "products", "GFLOP/s"
  std::vector<double> of;  // by rank
  bool by_host = false;    // of a disk, which the ranks of a host share: hosts are compared, by their means
};
// A collective of all ranks, by their communicator. gb_s: the bytes that any such collective must move in and
// out of a rank, over the time.
struct CollectiveTime {
  std::string name;
  int64_t bytes = 0;  // of a rank's buffer
  double us = 0, gb_s = 0;
};
// From one host to another, over host memory; one pair of hosts at a time for each of them.
struct HostLink {
  int from = 0, to = 0;  // of RankBench::hosts
  double mb_s = 0;       // one way
  double us = 0;         // of small messages both ways at once
};
struct RankBench {
  std::string device, transport;   // what joins the ranks: Communicator::name()
  std::vector<std::string> hosts;  // in the order of their first ranks
  std::vector<int> host_of;        // by rank
  std::vector<RankRates> rates;
  std::vector<std::string> processors, digests;  // by rank; the digest of what layers compute from one seed
  std::vector<CollectiveTime> collectives;       // of several ranks
  std::vector<HostLink> links;                   // of several hosts
};

// Collective; the result is whole on rank 0. `progress` is told what begins, and which of how many it is.
// Throws UserError, the same on all ranks, where the device, the dataset or the directory is not what it
// should be. What it writes to options.out it removes.
RankBench measure_ranks(ProcessGroup&, const RankBenchOptions&,
                        const std::function<void(const std::string& what, int done, int total)>& progress);

// A digest of the logits, loss and gradients of small models, and of a product, on this rank's device, one
// seed for all: equal where a run computes the same bits. Of f32, and of bf16 on a CUDA device.
std::string digest_of_layers(Device);

// What stands out, a line each, of what was measured on rank 0: ranks below 0.75 of the median rank's rate,
// hosts whose disks are below half the median host's, links below half the median link's, ranks that compute
// other bits than most. A host all of whose ranks (or links) stand out is one line.
std::vector<std::string> what_stands_out(const RankBench&);

// Tables, and what stands out. Of more than 16 ranks a line a host, with the least of its ranks.
std::string ranks_text(const RankBench&);
std::string ranks_json(const RankBenchOptions&, const RankBench&);

}  // namespace lime
