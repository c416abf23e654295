// What must be on the disk before the next step.
#pragma once

#include <string>

namespace lime {

// Waits until a closed file, or the names in a directory, are on the disk. Throws UserError naming it.
void sync_path(const std::string& path);

}  // namespace lime
