// A directory that is there whole or not at all: it is made as TARGET.partial-PID and renamed when it is
// complete.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "io/directory_lock.h"

namespace lime {

// What a process that was killed while it published left of the directory that it replaced, which is
// TARGET.replaced-PID then: removed where TARGET is there, and TARGET again where it is not. Told of and
// refused as PartialDirectory does.
void settle_replaced(const std::string& target, const std::function<void(const std::string&)>& notice);

class PartialDirectory {
 public:
  // Removes what killed processes left of the same target, and makes this process's own. `notice`, where
  // given, is told of each, a line. Throws UserError: also where another process is making the target, on
  // this host or another.
  PartialDirectory(const std::string& target, const std::function<void(const std::string&)>& notice);
  ~PartialDirectory();  // not published: removes it
  PartialDirectory(const PartialDirectory&) = delete;
  PartialDirectory& operator=(const PartialDirectory&) = delete;

  const std::string& target() const { return target_; }
  const std::string& path() const { return path_; }
  // Makes a folder in it (or those on the way to it).
  void make_folder(const std::string& name) const;

  // Gives it its name, durably; what had that name from the beginning is removed then. The files in it must
  // be synced. Throws UserError where something has got that name meanwhile.
  void publish();

 private:
  std::string target_, path_;
  std::optional<DirectoryLock> lock_;  // of path_, as long as this lives
  bool replaces_ = false;              // something had the name from the beginning
  bool published_ = false;
};

}  // namespace lime
