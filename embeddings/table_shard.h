// TableShard: the rows of one table that live on this rank, with their optimizer state. Internal to
// embeddings/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "embeddings/embedding_collection.h"
#include "embeddings/id_map.h"
#include "embeddings/id_place.h"
#include "embeddings/row_store.h"
#include "embeddings/sparse_optimizer.h"

namespace lime {

class TableShard {
 public:
  TableShard(const TableConfig&, uint64_t seed);

  const TableConfig& config() const { return config_; }

  // The id under which an id is stored: modulo the capacity, if the table has one. Negative ids stay.
  int64_t fold(int64_t id) const {
    return config_.capacity > 0 && id >= config_.capacity ? id % config_.capacity : id;
  }

  const IdMap& ids() const { return ids_; }
  RowStore& values() { return values_; }  // of config().type
  const RowStore& values() const { return values_; }
  float* state(int64_t row) { return static_cast<float*>(state_.row(row)); }
  RoundingKey rounding(uint64_t update) const { return {seed_, rounding_prefix_, update}; }
  void set_updated(int64_t row) {
    if (!idle_.empty()) idle_[static_cast<size_t>(row)] = 0;
  }

  // What an unseen id reads as: dim normals, a function of (seed, table name, id) alone, of config().type.
  void initial_row(int64_t id, void* out) const;
  // Whether an update with a gradient for the id uses it, where a look-up found the id at `place`.
  bool uses_gradient(int64_t id, int64_t place) const {
    return is_row(place) || config_.admit_after == 1 || is_row(place = ids_.find(id)) ||
           is_admitted(place, config_.admit_after);
  }
  // An update has a gradient for the id, which a look-up found without a row. Returns its row, if it has one
  // now: another look-up's update may have been there in between, or it is a new one, with these values, of
  // config().type, and initial optimizer state. Else counts the update, and returns the id's place. Throws
  // UserError, naming the table and its size, where memory ends.
  int64_t admit(int64_t id, const void* values);

  int64_t rows() const { return values_.rows(); }
  int64_t waiting() const { return ids_.size() - rows(); }
  int64_t bytes() const {
    return ids_.bytes() + values_.bytes() + state_.bytes() + static_cast<int64_t>(idle_.capacity());
  }

  // The smallest id whose row holds a NaN or an infinity.
  std::optional<int64_t> not_finite() const;

  TableRows bucket_rows(int64_t bucket) const;  // lists all buckets when asked for one after an insertion
  void load_rows(const TableRows&);

 private:
  struct IdPlace {
    int64_t id, place;
  };
  // Calls f, which takes memory.
  template <typename F>
  void grow(F f);
  // A row and its state, uninitialised.
  void append();
  [[noreturn]] void fail_without_memory(const std::string& reason) const;
  void list_buckets() const;

  TableConfig config_;
  uint64_t seed_, name_key_, rounding_prefix_;
  IdMap ids_;
  RowStore values_, state_;
  // Of each row, see TableRows; empty while all are 0, as in a run that took no other's rows.
  std::vector<uint8_t> idle_;
  mutable std::vector<IdPlace> listed_;       // all ids by bucket; empty where one changed its place since
  mutable std::vector<size_t> bucket_begin_;  // [virtual_buckets + 1], into listed_
};

}  // namespace lime
