// The lock of a directory (flock): one process at a time makes it or adds to it. Reading takes none.
#pragma once

#include <string>

namespace lime {

class DirectoryLock {
 public:
  // Throws UserError where there is no such directory.
  explicit DirectoryLock(const std::string& directory);
  ~DirectoryLock();  // lets go of it
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  bool held() const { return descriptor_ >= 0; }  // false: somebody else has it

 private:
  int descriptor_ = -1;
};

}  // namespace lime
