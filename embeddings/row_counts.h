// RowCounts: how many rows each table has, and how many ids, on a device where updates add some that the host
// is not told of in time. Internal to embeddings/.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "embeddings/device_buffer.h"
#include "runtime/context.h"
#include "runtime/host_staging.h"

namespace lime {

class RowCounts {
 public:
  // Of `counts` things, each counted on its own.
  RowCounts(Context&, int64_t counts);
  ~RowCounts();  // waits for counts under way

  int64_t* on_device() const { return counts_.data(); }
  // An upper bound of each: the last counts that came, and all that may have been added since.
  // Waits only where the host is many updates ahead.
  std::vector<int64_t> at_most();
  // The counts themselves, as after all work so far; waits for it.
  const std::vector<int64_t>& exact();
  // The context was given work that adds at most so many to each.
  void added(std::vector<int64_t> at_most);
  // Some were added by the host's leave: as many as it says.
  void add(int64_t which, int64_t number);

 private:
  struct Coming {
    std::vector<int64_t> added;  // at most
    std::unique_ptr<HostStaging::Block> counts;
    std::unique_ptr<cuda::Event> arrived;
  };
  void take_oldest();

  Context& ctx_;
  HostStaging staging_;
  DeviceBuffer<int64_t> counts_;
  std::vector<int64_t> known_;
  std::deque<Coming> coming_;
  std::vector<std::unique_ptr<cuda::Event>> spare_;
};

}  // namespace lime
