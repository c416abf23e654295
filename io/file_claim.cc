#include "io/file_claim.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/error.h"

namespace lime {
namespace {

bool has_name(int descriptor, const std::string& path) {
  struct stat open {
  }, named{};
  return ::fstat(descriptor, &open) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

}  // namespace

FileClaim::FileClaim(const std::string& path) {
  do {
    release();
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) return;
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) continue;
    const bool busy = errno == EWOULDBLOCK;
    release();
    if (busy) throw UserError(str(path, ": cannot create: another process has it open"));
    return;
  } while (!has_name(descriptor_, path));  // who had it has renamed or removed it meanwhile
}

FileClaim& FileClaim::operator=(FileClaim&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void FileClaim::release() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

}  // namespace lime
