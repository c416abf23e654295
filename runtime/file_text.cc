#include "runtime/file_text.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/error.h"

namespace lime {

std::string file_text(const std::string& path, int64_t offset) {
  std::string text;
  std::array<char, 16384> block;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ssize_t got = file < 0 ? -1 : 1;
  while (got > 0) {
    // A pipe has no offsets; whoever asks for the whole of it gets it.
    got = offset > 0 ? ::pread(file, block.data(), block.size(), offset + static_cast<int64_t>(text.size()))
                     : ::read(file, block.data(), block.size());
    if (got > 0) text.append(block.data(), static_cast<size_t>(got));
    if (got < 0 && errno == EINTR) got = 1;
  }
  const int reason = errno;
  if (file >= 0) ::close(file);
  if (got < 0) throw UserError(str(path, ": cannot be read: ", std::strerror(reason)));
  return text;
}

}  // namespace lime
