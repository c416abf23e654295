// PartAssignment: which part each user of an import belongs to, for any number of users in bounded memory.
//
// Users that the dataset knows stay in their part. New ones: heaviest first, ties by id, each to the lightest
// part so far, so that a new dataset's parts are within one user's load of even, whatever order rows came in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/external_sort.h"
#include "io/user_index.h"

namespace lime {

class PartAssignment {
 public:
  // Sorts in files under `scratch`.
  explicit PartAssignment(const std::string& scratch);

  // So many rows more of a user, in any order.
  void add(int64_t user, int64_t rows) { loads_.add({user, rows, 0, added_++}, {}); }
  ExternalSorter& buffered() { return loads_; }  // what add() holds

  // Ends adding. `part_load`: rows of the parts so far; `known`: the users of the dataset, null for a new
  // one.
  void assign(std::vector<int64_t> part_load, UserIndexReader* known, int64_t memory_bytes);
  // The part of a new user. Users must ascend from call to call.
  int64_t part_of(int64_t user);

 private:
  ExternalSorter loads_, by_load_, parts_;
  int64_t added_ = 0;
};

}  // namespace lime
