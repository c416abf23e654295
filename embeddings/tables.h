// Tables: what an EmbeddingCollection's tables do, on one kind of device. Internal to embeddings/.
//
// EmbeddingCollection has the contract; it checks every call, and that it comes in its turn, before it is
// here.
//   host_tables.h       tables in host memory
//   device_tables.h     tables in the memory of a CUDA device
//   offloaded_tables.h  tables in host memory, for a network on a CUDA device
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "embeddings/embedding_collection.h"

namespace lime {

// What one step's lookup knows, between begin and update. Kept and used again, with its memory, by later
// steps.
struct LookupState {
  virtual ~LookupState() = default;
  // The lookup is over: waits for its messages. Work on a device may still use its memory.
  virtual void release() = 0;

  std::vector<std::vector<FeatureIds>> features;  // [micro-batch][feature]
  bool insert = false;
  enum class Stage : uint8_t { begun, finished, reduced, updated } stage = Stage::begun;
  int64_t updates_before = 0;  // updates of the collection when it was finished

  const FeatureIds& feature(int64_t micro_batch, int64_t index) const;  // checked
};

// Rows that a feature gives: one a list, or one an id.
inline int64_t rows_of(const FeatureIds& f) {
  return static_cast<int64_t>(f.offsets.empty() ? f.ids.size() : f.offsets.size() - 1);
}

struct UpdateStep {
  ConstView grad_scale;
  double lr_scale;
  uint64_t number;  // of the run's updates
};

class Tables {
 public:
  virtual ~Tables() = default;

  virtual std::unique_ptr<LookupState> make_lookup() = 0;
  virtual void begin(LookupState&) = 0;
  virtual void advance(LookupState&) = 0;  // begun, at a collective moment: its ids can leave
  virtual void finish(LookupState&) = 0;
  virtual void gather(const LookupState&, int64_t micro_batch, int64_t feature, View out) = 0;
  virtual void add_gradient(LookupState&, int64_t micro_batch, int64_t feature, const ConstView& dout,
                            bool stays) = 0;
  virtual void reduce(LookupState&) = 0;
  virtual void sum_of_squares(LookupState&, View out) = 0;
  virtual void update(LookupState&, const UpdateStep&) = 0;

  virtual void read(const FeatureIds&, View out) const = 0;
  virtual std::optional<int64_t> not_finite(int64_t table) const = 0;

  virtual int64_t rows(int64_t table) const = 0;
  virtual int64_t waiting(int64_t table) const = 0;
  virtual int64_t bytes() const = 0;
  virtual TableRows bucket_rows(int64_t table, int64_t bucket) const = 0;
  virtual void load_rows(int64_t table, const TableRows&) = 0;
};

// What both kinds are made of. The configurations have been checked.
struct TablesOptions {
  Context& ctx;
  Communicator& comm;       // over host memory
  Communicator* on_device;  // over the context's device
  std::vector<TableConfig> tables;
  uint64_t seed;
};

}  // namespace lime
