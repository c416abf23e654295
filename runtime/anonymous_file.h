// AnonymousFile: a file without a name, in memory, that the processes of a host can share. Its pages are
// freed with the last process that has it open or mapped, however that ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/mapped_file.h"

namespace lime {

class AnonymousFile {
 public:
  AnonymousFile() = default;                        // none
  explicit AnonymousFile(const std::string& name);  // for /proc and errors; throws Error
  ~AnonymousFile();
  AnonymousFile(AnonymousFile&&) noexcept;
  AnonymousFile& operator=(AnonymousFile&&) noexcept;

  void append(std::span<const std::byte> bytes);  // throws UserError, as write_all does
  // All that it holds, at least a byte; nothing may be appended from then on.
  MappedFile map() const;
  // Where other processes of this user and host, that see this one in their /proc, can open it while the
  // object lives.
  static std::string path(int64_t process, int64_t number);
  static int64_t this_process();
  int64_t number() const { return file_; }

 private:
  std::string name_;
  int file_ = -1;
};

}  // namespace lime
