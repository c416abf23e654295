// A small dataset read back whole, by user and time, for tests of what importers write.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/dataset.h"

namespace lime {

struct DumpedEvent {
  int64_t time = 0, item = 0;
  std::map<std::string, int64_t> ids;
  friend bool operator==(const DumpedEvent&, const DumpedEvent&) = default;
};

struct DumpedCandidate {
  int64_t item = 0;
  std::map<std::string, float> labels, weights, reals;
  friend bool operator==(const DumpedCandidate&, const DumpedCandidate&) = default;
};

struct DumpedRequest {
  std::string day;
  int64_t user = 0, time = 0;
  std::vector<DumpedEvent> history;  // the first history_end of the user's events
  std::vector<DumpedEvent> later;    // the user's other events
  std::map<std::string, int64_t> ids;
  std::vector<DumpedCandidate> candidates;
  friend bool operator==(const DumpedRequest&, const DumpedRequest&) = default;
};

// One row of a user or an item. Missing numbers are equal.
struct DumpedRow {
  std::map<std::string, int64_t> ids;
  std::map<std::string, std::vector<int64_t>> lists;
  std::map<std::string, float> reals;
  friend bool operator==(const DumpedRow&, const DumpedRow&);
};

struct DumpedDataset {
  std::map<int64_t, std::vector<DumpedEvent>> events;  // by user
  std::vector<DumpedRequest> requests;                 // by day, user, time
  std::map<int64_t, DumpedRow> users, items;
  std::map<int64_t, int64_t> parts;  // of users

  const DumpedRequest& request(int64_t user, int64_t time) const;  // the first of these; throws Error
};

DumpedDataset dump(const Dataset&);

}  // namespace lime
