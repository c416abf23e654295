// ShardStream: the sequence of requests of one virtual shard, and a window of them in memory.
//
// The shard's parts of each day are its units: days in order, a day's parts in an order drawn from (seed,
// epoch, day, shard). A unit's requests are cut into windows of `shuffle_window`; the order within a window
// is a Fisher-Yates shuffle drawn from (seed, epoch, day, part, window). Without shuffle: parts by number,
// requests as in the file.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/negative_sampling.h"
#include "io/part_cache.h"

namespace lime {

// Requests [first, first + size) of a day part, the planned columns of them.
struct RequestWindow {
  RequestWindow(const Hdf5File&, const ReadPlan&, const BatchSpec&, const ItemTable&, const EventsPart&,
                int64_t first, int64_t last, int64_t requests, int64_t candidates);
  // All others are as if they had not been shown; requests stay, also those that have none then.
  void keep(const KeptCandidates&);
  int64_t bytes() const;

  int64_t first = 0, first_candidate = 0;        // rows of the file
  std::vector<int64_t> user, time, history_end;  // user: row of the events part; history_end: of its events
  std::vector<ColumnData> request_columns, candidate_columns;
  std::vector<int64_t> candidate_offsets, item;
  std::vector<int32_t> item_row;
  std::vector<std::vector<float>> labels, sample_weights;  // by task; no weights where a task has none
  std::vector<float> metric_weight;
  std::vector<float> importance;  // by candidate, of negative sampling; empty: all are there
};

class ShardStream {
 public:
  // The arguments must outlive the stream.
  ShardStream(const Dataset&, const ReaderOptions&, const ReadPlan&, const ItemTable&, PartCache&,
              int64_t shard);

  const ShardPosition& position() const { return position_; }
  // Throws UserError if there is no such position.
  void seek(const ShardPosition&);
  bool dry() const { return position_.unit == static_cast<int64_t>(units_.size()); }
  int64_t requests() const { return begins_.back(); }  // of the epoch
  int64_t done() const {
    return begins_[static_cast<size_t>(position_.unit)] + position_.request;
  }  // of them

  // Loads what the next request needs. `window` and `events` stay valid until the next open().
  void open();
  const RequestWindow& window() const { return *window_; }
  const EventsPart& events() const { return *events_; }
  int64_t day_index() const { return units_[static_cast<size_t>(unit_)].day; }
  int64_t part() const { return units_[static_cast<size_t>(unit_)].part; }
  // Rows of the open window, in the order of the stream, from the next request on; advance(n) passes n of
  // them, with so many tokens of their histories.
  std::span<const int32_t> upcoming() const;
  void advance(int64_t requests, int64_t tokens);

  // The day and part of each unit.
  std::vector<std::pair<std::string, int64_t>> units() const;
  // Of the open window: its number in its unit, and the requests and tokens of it that are done.
  struct InWindow {
    int64_t unit, window, requests, tokens;
  };
  InWindow in_window() const;

  int64_t window_bytes() const { return window_ ? window_->bytes() : 0; }

 private:
  struct Unit {
    int64_t day, part, requests, candidates;
  };
  void skip_empty_units();
  void sample_negatives();
  int64_t history_length(int32_t row) const;  // of the open window, running
  void shuffle_window(int64_t first, int64_t size);
  // Random numbers of the open unit, by row of its file.
  Philox random(std::string_view purpose) const;

  const Dataset& dataset_;
  const ReaderOptions& options_;
  const ReadPlan& plan_;
  const ItemTable& items_;
  PartCache& cache_;
  std::vector<Unit> units_;
  std::vector<int64_t> begins_ = {0};  // units + 1: requests before each
  ShardPosition position_;
  int64_t unit_ = -1;  // of the open file and window
  std::unique_ptr<Hdf5File> file_;
  std::shared_ptr<const EventsPart> events_;
  std::unique_ptr<RequestWindow> window_;
  std::vector<int32_t> order_;
  int64_t window_tokens_ = 0;  // of what is done of the open window
};

}  // namespace lime
