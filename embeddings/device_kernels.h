// What a lookup in device tables does with rows: a few kernels a call, on the context's stream; nobody waits.
// Internal to embeddings/.
#pragma once

#include "embeddings/device_distinct.h"
#include "embeddings/device_table.h"
#include "embeddings/exchange.h"
#include "runtime/tensor.h"

namespace lime {

// A DeviceDistinct as kernels see it.
struct DistinctView {
  const int64_t* ids;
  const uint32_t* place;
  const int32_t *first_slot, *leaf_of_slot, *first_occurrence, *distinct_of;
  const int64_t* begins;
  int64_t tables, owners;
  int64_t most;  // distinct ids, at most, as the host knows; how many there are, begins says
};

inline DistinctView view_of(const DeviceDistinct& d, int64_t tables, int64_t owners, int64_t most) {
  return {d.ids.data(),
          d.place.data(),
          d.first_slot.data(),
          d.leaf_of_slot.data(),
          d.first_occurrence.data(),
          d.distinct_of.data(),
          d.begins.data(),
          tables,
          owners,
          most};
}

// One feature of one micro-batch, on the device.
struct DeviceFeature {
  int64_t rows, occurrences;
  const int64_t* offsets;  // null: one id a row
  bool mean;
  int64_t first;  // of its occurrences, in the lookup
};

// Where the ids, rows and row gradients of a request lie (RequestLayout), for tables and owners together:
// pair = table * owners + owner of what is asked; range = rank * tables + table of what is received. All on
// the device. A row takes the place of its table's message_width floats, a gradient is `pitch` floats.
struct RequestPlaces {
  const int64_t *asked_id, *asked_row, *asked_gradient;  // [pairs]: of the pair's first id
  const IdRange* received;                               // [ranges + 1]
  const int64_t* received_gradient;                      // [ranges]
};

namespace cuda {

// --- several ranks -----------------------------------------------------------------------------
// asked_ids: the wanted ids, as they are asked.
void place_ids(Context&, const DistinctView& wanted, const RequestPlaces&, int64_t* asked_ids);
// address[u]: the distinct id's row among the received, of its table's type.
void place_rows(Context&, const DistinctView& wanted, const TableOnDevice* tables, const RequestPlaces&,
                const float* rows, const void** address);
// The totals as they are sent; present[id]: 1 where there is one, else 0.
void pack_totals(Context&, const DistinctView& wanted, const TableOnDevice* tables, int64_t widest,
                 const RequestPlaces&, float* const* total, float* sent, float* present);
// part[slot]: the gradient that came for a slot of the owned ids, or null.
void received_parts(Context&, const DistinctView& owned, const TableOnDevice* tables, const RequestPlaces&,
                    float* received, const float* present, float** part);

// --- rows --------------------------------------------------------------------------------------
// rows[u] = the distinct id's place in its table (id_place.h); address[u], where asked for, where its row is,
// or null.
void find_rows(Context&, const DistinctView&, const TableOnDevice* tables, int64_t* rows,
               const void** address);

// out[i,:] = pooled rows of the feature's row i. address[u]: the row of distinct id u; null: it reads as it
// would start.
void gather_rows(Context&, const DeviceFeature&, const DeviceDistinct&, const TableOnDevice&,
                 const void* const* address, View out);

// The sum of dout over the slot's occurrences in the feature, in order, is added to what part[slot] points
// to; the sum is in gradient[slot,:] then, and part[slot] points there. A null pointer: nothing is there yet.
// gradient: rows of `pitch` of the table's slots from first_slot on. `in_place`: dout stays, and part[slot]
// may point to the row of an only occurrence.
struct SlotGradients {
  float* gradient;
  int64_t first_slot, dim, pitch;
  float** part;
  bool in_place;
};
void add_gradients(Context&, const DeviceFeature&, const DeviceDistinct&, const SlotGradients&,
                   const ConstView& dout);

// total[u] = the sum of the id's parts along the tree over its leaves, in the first of them; null where none
// is there.
void tree_totals(Context&, const DistinctView&, const TableOnDevice* tables, int64_t widest,
                 float* const* part, float** total);

// sums[table * most_buckets + bucket - first_bucket]: squares of the totals that an update would use, in f64,
// in order of ids. rows: as find_rows gave them.
void bucket_squares(Context&, const DistinctView&, const TableOnDevice* tables, int64_t widest,
                    float* const* total, const int64_t* rows, int64_t first_bucket, int64_t most_buckets,
                    double* sums);
// out = the sum of all ranks' bucket sums, in one order whatever the number of ranks.
void add_bucket_squares(Context&, const double* sums, int64_t tables, int ranks, double* out);

struct RowsUpdate {
  float* const* total;
  int64_t* rows;             // as find_rows gave them; new ones are set
  int64_t* counts;           // [2 * tables]: rows of the tables, then ids, which grow
  const double* grad_scale;  // one that is not finite changes nothing
  double lr_scale;
  uint64_t number;  // of the run's updates: what rows in bf16 are rounded by
};
// Gives ids without a row that have a gradient one, in order, or counts the update where they go on waiting;
// updates all rows with a gradient. The tables have room.
void update_rows(Context&, const DistinctView&, const TableOnDevice* tables, int64_t widest,
                 const RowsUpdate&);

}  // namespace cuda
}  // namespace lime
