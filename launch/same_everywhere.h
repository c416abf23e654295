// What a job of several hosts relies on: the same program and the same files on each. Checked when it starts;
// otherwise ranks would mix what they read, or wait for each other in different places.
//
// All are collective, and throw the same UserError on every rank, naming the hosts and the first line that
// differs.
#pragma once

#include <functional>
#include <string>

#include "io/dataset.h"
#include "model/config.h"
#include "parallel/process_group.h"

namespace lime {

void require_same_program(ProcessGroup&);
// What `load` returns; it takes part in no collective, and may fail on some hosts only.
Config load_everywhere(ProcessGroup&, const std::function<Config()>& load);
// What `make` returns on rank 0, which alone calls it.
Config make_once(ProcessGroup&, const std::function<Config()>& make);
// Each host may have a copy of its own: the descriptions (dataset.yaml) are compared.
Dataset open_everywhere(ProcessGroup&, const std::string& directory);
// Every rank sees what rank 0 writes to this directory, which is there.
void require_shared_directory(ProcessGroup&, const std::string& directory);

}  // namespace lime
