#include "runtime/anonymous_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/error.h"

namespace lime {

AnonymousFile::AnonymousFile(const std::string& name)
    : name_(name), file_(memfd_create(name.c_str(), MFD_CLOEXEC)) {
  if (file_ < 0) throw Error(str("a file in memory for ", name, ": ", std::strerror(errno)));
}

AnonymousFile::~AnonymousFile() {
  if (file_ >= 0) close(file_);
}

AnonymousFile::AnonymousFile(AnonymousFile&& other) noexcept
    : name_(std::move(other.name_)), file_(std::exchange(other.file_, -1)) {}

AnonymousFile& AnonymousFile::operator=(AnonymousFile&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(file_, other.file_);
  return *this;
}

void AnonymousFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw Error(str("a file in memory for ", name_, ": ", std::strerror(errno)));
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

MappedFile AnonymousFile::map() const { return {file_, name_}; }

int64_t AnonymousFile::this_process() { return getpid(); }

std::string AnonymousFile::path(int64_t process, int64_t number) {
  return str("/proc/", process, "/fd/", number);
}

}  // namespace lime
