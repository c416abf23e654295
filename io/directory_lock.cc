#include "io/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/error.h"

namespace lime {

DirectoryLock::DirectoryLock(const std::string& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw UserError(str(directory, ": cannot open: ", std::strerror(errno)));
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0)
    descriptor_ = descriptor;
  else
    ::close(descriptor);
}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace lime
