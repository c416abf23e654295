#include "runtime/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/error.h"

namespace lime {

namespace {

UserError cannot_be_mapped(const std::string& name, int reason) {
  return UserError(str(name, ": cannot be mapped: ", std::strerror(reason)));
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw cannot_be_mapped(path, errno);
  try {
    *this = MappedFile(file, path);
  } catch (...) {
    close(file);
    throw;
  }
  close(file);
}

MappedFile::MappedFile(int file, const std::string& name) {
  struct stat status {};
  void* memory = MAP_FAILED;
  if (fstat(file, &status) == 0)
    memory = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) throw cannot_be_mapped(name, errno);
  data_ = static_cast<const std::byte*>(memory);
  size_ = static_cast<size_t>(status.st_size);
}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace lime
