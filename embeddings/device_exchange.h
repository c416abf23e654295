// DeviceRowExchange: what ranks ask of each other in a step, for all tables in one message a rank, where the
// tables are on CUDA devices. Internal to embeddings/. The counterpart of exchange.h, with its layouts and
// messages:
//
//   counts     over host memory; the host must know them
//   ids        a rank's distinct ids to their owners, who find the distinct ones among all that came
//   rows       the owners' answers, one row an id
//   gradients  row gradients back to the owners, with a number an id that says whether there is one
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "embeddings/device_distinct.h"
#include "embeddings/device_kernels.h"
#include "embeddings/exchange.h"
#include "parallel/communicator.h"
#include "runtime/host_staging.h"

namespace lime {

struct DeviceLookup;

// One step's messages, and what the owner knows of the rows.
struct DeviceRequests {
  // Of each owner; by each rank. Ids as in exchange.h; row gradients have their table's pitch.
  RequestLayout asked, received;
  RequestLayout asked_rows, received_rows;  // the same ids; rows have their table's message_width
  DeviceBuffer<int64_t> places;             // of the layouts, as kernels see them
  DeviceBuffer<int64_t> asked_ids, received_ids;
  DeviceBuffer<float> answers, rows;
  DeviceBuffer<float> sent_gradients, received_gradients, sent_present, received_present;

  DeviceDistinct owned;  // a leaf for each rank that asked
  int id_bits = 0;       // of all ranks' ids
  DeviceBuffer<const void*> address;
  DeviceBuffer<float*> part, total;

  enum class Stage : uint8_t { begun, ids, ready } stage = Stage::begun;
  WorkPtr work;
};

class DeviceRowExchange {
 public:
  // Floats of a row gradient (pitch) and of a row in a message, by table.
  struct Widths {
    std::vector<int64_t> gradients, rows;
  };
  // `on_device` is used, not duplicated.
  DeviceRowExchange(Context&, Communicator& host, Communicator& on_device, Widths);

  int rank() const { return host_->rank(); }
  int ranks() const { return host_->size(); }
  Communicator& on_device() { return on_device_; }

  // All ranks make all calls in the same order.
  void send_ids(DeviceLookup&);     // once; waits for the ranks' counts
  void receive_ids(DeviceLookup&);  // finds the owned ids
  // The answers have been written: `requests.rows` come, and every distinct id's address.
  void exchange_rows(DeviceLookup&, const TableOnDevice* tables);
  // Totals of the wanted ids become parts of the owned.
  void exchange_gradients(DeviceLookup&, const TableOnDevice* tables);

 private:
  template <typename T>
  WorkPtr all_to_all(const T* send, std::span<const int64_t> send_counts, T* receive,
                     std::span<const int64_t> receive_counts);
  void exchange_counts(DeviceLookup&);
  void send_places(DeviceRequests&);
  int64_t tables() const { return static_cast<int64_t>(widths_.gradients.size()); }
  int64_t pairs() const { return tables() * ranks(); }
  RequestPlaces places(const DeviceRequests&) const;

  Context& ctx_;
  std::unique_ptr<Communicator> host_;
  Communicator& on_device_;
  Widths widths_;
  HostStaging staging_;
  DeviceBuffer<int64_t> capacities_;  // zeros: what is received is folded already
};

}  // namespace lime
