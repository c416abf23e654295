// What a job of several hosts relies on: the same program and the same files on each. Checked when it starts;
// otherwise ranks would mix what they read, or wait for each other in different places.
//
// All are collective, and throw the same UserError on every rank, naming the hosts and the first line that
// differs.
#pragma once

#include <string>

#include "io/dataset.h"
#include "model/config.h"
#include "parallel/process_group.h"

namespace lime {

void require_same_program(ProcessGroup&);
// Returns the configuration.
Config require_same_config(ProcessGroup&, Config);
// The dataset's description; each host may have a copy of its own.
void require_same_dataset(ProcessGroup&, const Dataset&);
// Every rank sees what rank 0 writes to this directory, which is there.
void require_shared_directory(ProcessGroup&, const std::string& directory);

}  // namespace lime
