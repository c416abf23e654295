// DeviceLookup: a lookup in tables on a CUDA device. Internal to embeddings/.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "embeddings/device_distinct.h"
#include "embeddings/device_exchange.h"
#include "embeddings/device_kernels.h"
#include "embeddings/tables.h"
#include "runtime/host_staging.h"

namespace lime {

// Where ids are copied to the device and sorted: a stream beside the context's, under the compute of the step
// before. Shared with the lookups, which may outlive the tables.
struct IdQueue {
  explicit IdQueue(Device device) : ctx(device), staging(device) {}
  Context ctx;
  HostStaging staging;
};

struct DeviceLookup final : LookupState {
  DeviceLookup(Context& compute, std::shared_ptr<IdQueue> queue);
  void release() override;

  // Copies the ids, finds the distinct ones, and sends for how many there are.
  struct TablesOnDevice {
    const int64_t* capacities;  // on the device
    std::span<const TableConfig> configs;
    int owners;
  };
  void find_ids(const TablesOnDevice&);
  // Waits for how many there are; the context's stream waits for the rest.
  void wait_for_ids();
  int id_bits() const { return id_bits_; }

  int64_t range(int64_t micro_batch, int64_t feature) const {
    return first_range[static_cast<size_t>(micro_batch)] + feature;
  }
  const DeviceFeature& on_device(int64_t micro_batch, int64_t feature) const {
    return ranges[static_cast<size_t>(range(micro_batch, feature))];
  }
  // Of table t and owner r, k = t * owners + r: distinct ids [begin(k), begin(k + 1)), slots alike.
  int64_t begin(int64_t k) const { return begins[static_cast<size_t>(k)]; }
  int64_t slot_begin(int64_t k) const { return begins[begins.size() / 2 + static_cast<size_t>(k)]; }
  int64_t distinct() const { return begins[begins.size() / 2 - 1]; }
  int64_t slots() const { return begins.back(); }

  // As a rank that looks up.
  std::vector<int64_t> first_range;   // [micro-batch]
  std::vector<DeviceFeature> ranges;  // all micro-batches' features
  DeviceBuffer<int64_t> input;        // ids, offsets and ranges as they were copied
  DeviceDistinct wanted;
  std::vector<int64_t> begins;          // of `wanted`, known after wait_for_ids
  DeviceBuffer<const void*> address;    // [distinct]: of the row, or null where it reads as it would start
  std::vector<int64_t> first_gradient;  // [table]: floats before its slots' gradients
  DeviceBuffer<float> gradients;
  DeviceBuffer<float*> part, total;  // [slots], [distinct]: where gradients are, or null

  // As the owner of rows. On one rank, what it owns is what it wants.
  std::unique_ptr<DeviceRequests> requests;  // null on one rank
  DeviceBuffer<int64_t> shard_row;           // [owned distinct]: places, when last looked

 private:
  std::unique_ptr<HostStaging::Block> fill_input(const TablesOnDevice&, IdOccurrences& ids);

  Context& compute_;
  std::shared_ptr<IdQueue> queue_;
  cuda::Event counted_, released_;
  int id_bits_ = 0;
  std::unique_ptr<HostStaging::Block> counts_;
};

}  // namespace lime
