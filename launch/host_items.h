// The items of a dataset, once in the memory of a host, whatever the number of its ranks and of their
// readers.
#pragma once

#include <memory>

#include "io/reader.h"
#include "parallel/process_group.h"

namespace lime {

// Collective. One rank of each host reads them, the others map its memory. A rank that cannot (it has its own
// process namespace, or /proc is not there) reads its own, and says so once. A broken file is one UserError
// on all ranks.
std::shared_ptr<const ItemTable> items_of_host(ProcessGroup&, const Dataset&, const BatchSpec&);

}  // namespace lime
