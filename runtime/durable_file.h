// Files that are on the disk, whole, before the next step.
#pragma once

#include <string>
#include <string_view>

namespace lime {

// All of these throw UserError naming the path: "PATH: cannot be written: No space left on device".

// Waits until a closed file, or the names in a directory, are on the disk.
void sync_path(const std::string& path);

// Writes a file, in place of one of that name, and syncs it.
void write_durably(const std::string& path, std::string_view text);

// Whether PATH is a device, a pipe, or a name of a file that is open (/dev/stdout, also where that is a
// regular one): a file that took its place would be none of these any more, for nobody.
bool is_stream(const std::string& path);

// Writes PATH.partial, syncs and renames it: PATH has its old content or the new one at any moment. Streams
// are refused.
void write_file_atomically(const std::string& path, std::string_view text);

// Writes all of `text` to the open file `descriptor` of `path`. Not synced.
void write_all(int descriptor, std::string_view text, const std::string& path);

}  // namespace lime
