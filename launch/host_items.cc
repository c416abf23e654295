#include "launch/host_items.h"

#include <string>

#include "io/item_table.h"
#include "model/together.h"
#include "runtime/error.h"
#include "runtime/log.h"

namespace lime {

std::shared_ptr<const ItemTable> items_of_host(ProcessGroup& group, const Dataset& dataset,
                                               const BatchSpec& spec) {
  Communicator& world = group.world();
  std::shared_ptr<const ItemTable> items;
  ItemTable::Place place;
  together(world, [&] {
    if (group.rank() != group.host_leader()) return;
    items = read_items(dataset, spec);
    if (items->columns() > 0) place = items->place();
  });

  const int64_t mine[] = {place.process, place.file, static_cast<int64_t>(place.mark)};
  const std::vector<int64_t> all = all_gather_values(world, std::span<const int64_t>(mine));
  const int64_t* leader = all.data() + std::size(mine) * static_cast<size_t>(group.host_leader());
  // Afterwards all have it: the leader may let go of it.
  together(world, [&] {
    if (items) return;
    place = {leader[0], leader[1], static_cast<uint64_t>(leader[2])};
    if (place.mark == 0)
      return static_cast<void>(items = read_items(dataset, spec));  // there are none to share
    try {
      items = std::make_shared<const ItemTable>(place);
    } catch (const UserError& reason) {
      LOG(WARNING) << "keeps items.h5 in memory of its own: " << reason.what();
      items = read_items(dataset, spec);
    }
  });
  return items;
}

}  // namespace lime
