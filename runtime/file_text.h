// Small files as text.
#pragma once

#include <cstdint>
#include <string>

namespace lime {

// The bytes of a file, from `offset` to its end; "" where it ends before. Throws UserError:
// "PATH: cannot be read: No such file or directory", and so of a directory.
std::string file_text(const std::string& path, int64_t offset = 0);

}  // namespace lime
