// MappedFile: a whole file as read-only memory, shared by all processes that map it.
#pragma once

#include <cstddef>
#include <string>

namespace lime {

class MappedFile {
 public:
  MappedFile() = default;
  // Throws UserError naming the file. It must not be truncated while it is mapped: replace it by renaming.
  explicit MappedFile(const std::string& path);
  // Of an open file, which may be closed afterwards; `name` is for errors.
  MappedFile(int file, const std::string& name);
  ~MappedFile();
  MappedFile(MappedFile&&) noexcept;
  MappedFile& operator=(MappedFile&&) noexcept;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lime
