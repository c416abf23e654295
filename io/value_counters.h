// Counting the values of a stream in little memory: how many different ones, and which is the most frequent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <unordered_map>
#include <unordered_set>

namespace lime {

// The number of different ids: exact up to `kept`, beyond that to about 0.8 % (one standard deviation), from
// the `kept` least hashes (Bar-Yossef et al., "Counting distinct elements in a data stream", RANDOM 2002).
class DistinctCounter {
 public:
  static constexpr std::size_t kept = 16384;
  void add(int64_t id);
  int64_t count() const;
  bool is_exact() const { return least_.size() < kept; }

 private:
  std::unordered_set<uint64_t> least_;
  std::priority_queue<uint64_t> greatest_;  // of these, first
};

// The most frequent id and how often it came: exact for at most `kept` different ids; else at least so often,
// and too few by no more than 1 / kept of all (Misra and Gries, "Finding repeated elements", 1982).
class FrequentIds {
 public:
  static constexpr std::size_t kept = 1024;
  struct Found {
    int64_t id = -1, times = 0;  // -1: none came often enough to be kept
  };
  void add(int64_t id);
  Found most_frequent() const;  // the least id of several

 private:
  std::unordered_map<int64_t, int64_t> times_;
};

}  // namespace lime
