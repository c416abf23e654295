// A run directory to serve from: a small dataset, a model trained for some steps, checkpoints; and what the
// model says of each request by the way that training and evaluation take.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "launch/scoring.h"
#include "serving/item_cache.h"
#include "serving/scorer.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {

class ServedRun {
 public:
  explicit ServedRun(const Overrides& overrides = {});

  // Trains on and saves a checkpoint; returns its name.
  std::string train(int steps);
  // Saves the weights as they are, as the next step; to damage them first.
  std::string save();

  std::string path() const { return temp_.file("run"); }
  std::string file(const std::string& name) const { return temp_.file(name); }
  std::string data() const { return temp_.file("data"); }
  SmallRun& run() { return *run_; }
  const Dataset& dataset() const { return dataset_; }

  // Builds a cache of the newest checkpoint, and returns its path.
  std::string cache(const std::string& name, RowType = RowType::f32, const std::string& items = "");
  ScorerOptions options(const std::string& cache = "", MissingItems = MissingItems::score) const;

  // f(batch, request, logits): every request of the held-out day with candidates, with the network's logits
  // (candidates x tasks).
  using Visit = std::function<void(const MicroBatch&, int64_t, const ConstView&)>;
  void each_request(HistoryMode, const Visit&);

 private:
  TempDirectory temp_;
  Dataset dataset_;
  Config config_;
  std::unique_ptr<SmallRun> run_;
};

// Makes a dataset in the directory whose items.h5 has the items [0, prices.size()), with the lists of the
// run's own.
void write_items(const ServedRun&, const std::string& directory, std::span<const float> prices);

// The candidates of a request of a batch.
std::vector<int64_t> items_of(const MicroBatch&, int64_t request);

}  // namespace lime
