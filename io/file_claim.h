// The claim on a file that is about to be written (flock), by its name: one process at a time has it, until
// it lets go or ends, however it ends.
#pragma once

#include <string>

namespace lime {

class FileClaim {
 public:
  FileClaim() = default;  // of none
  // Makes the file where there is none, and leaves its bytes as they are. Throws UserError where somebody
  // else has it, or another program its lock. What cannot be opened or locked at all is not claimed: who
  // creates it says why.
  explicit FileClaim(const std::string& path);
  ~FileClaim() { release(); }
  FileClaim(const FileClaim&) = delete;
  FileClaim& operator=(const FileClaim&) = delete;
  FileClaim& operator=(FileClaim&&) noexcept;

  void release();

 private:
  int descriptor_ = -1;
};

}  // namespace lime
