#include "runtime/anonymous_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/durable_file.h"
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
  write_all(file_, {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
            str("a file in memory for ", name_));
}

MappedFile AnonymousFile::map() const { return {file_, name_}; }

int64_t AnonymousFile::this_process() { return getpid(); }

std::string AnonymousFile::path(int64_t process, int64_t number) {
  return str("/proc/", process, "/fd/", number);
}

}  // namespace lime
