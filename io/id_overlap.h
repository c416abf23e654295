// What share of some ids is among others, without holding them all: exact up to 65,536 of each, beyond that
// of the ids with the least hashes, which is the same sample of both.
#pragma once

#include <cstdint>
#include <limits>
#include <unordered_set>

namespace lime {

class IdOverlap {
 public:
  void add(int64_t id) { asked_.add(id); }        // one that is asked about, any number of times
  void add_known(int64_t id) { known_.add(id); }  // one of the others
  // Of the different ids asked about; 1 where there are none.
  double share() const;

 private:
  class Sample {
   public:
    void add(int64_t id);
    bool has(uint64_t hash) const { return hashes_.contains(hash); }
    const std::unordered_set<uint64_t>& hashes() const { return hashes_; }
    uint64_t limit() const { return limit_; }

   private:
    std::unordered_set<uint64_t> hashes_;  // of all ids whose hash is at most limit_
    uint64_t limit_ = std::numeric_limits<uint64_t>::max();
  };

  Sample asked_, known_;
};

}  // namespace lime
