// Rows of a DeviceTable to and from the host, as checkpoints have them. Internal to embeddings/.
#pragma once

#include <cstdint>
#include <vector>

#include "embeddings/device_table.h"

namespace lime {

// Of a table: ids that have rows, and ids that wait for one.
struct IdCounts {
  int64_t rows = 0, waiting = 0;
  int64_t all() const { return rows + waiting; }
};

// Reads buckets, in blocks of as many as fit some megabytes: asked for in order, each row is copied once.
class DeviceRowReader {
 public:
  // The rows of a bucket of the table, which has `count`. Lists all ids when asked after forget().
  TableRows bucket(Context&, const DeviceTable&, const IdCounts& count, int64_t bucket);
  void forget();  // rows are about to change

 private:
  void list(Context&, const DeviceTable&, const IdCounts& count);
  void read_block(Context&, const DeviceTable&, int64_t first_bucket);
  size_t begin_of(int64_t bucket) const { return bucket_begin_[static_cast<size_t>(bucket)]; }

  bool listed_ = false;
  std::vector<int64_t> ids_, rows_;   // by bucket, then id
  std::vector<size_t> bucket_begin_;  // [virtual_buckets + 1]
  int64_t first_ = 0, last_ = 0;      // buckets of the block
  std::vector<float> values_, state_;
  std::vector<uint8_t> idle_;
  struct Waiting {
    int64_t id, place;
  };
  std::vector<Waiting> waiting_;       // by bucket, then id
  std::vector<size_t> waiting_begin_;  // [virtual_buckets + 1]
};

// Adds rows with new ids behind the rows of the table, which has `count`, and ids that wait; says how many.
// Throws Error where an id is there already.
IdCounts load_rows(Context&, DeviceTable&, const IdCounts& count, const TableRows&);

}  // namespace lime
