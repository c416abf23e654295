// An HDF5 file that is there whole or not at all: PATH.partial until finish() gives it its name.
#pragma once

#include <optional>
#include <string>

#include "io/hdf5_file.h"

namespace lime {

class Hdf5Draft {
 public:
  // Creates PATH.partial, so that a path that cannot be written is told before the work; one that a killed
  // process left is replaced. Throws UserError, also where another process is writing it.
  explicit Hdf5Draft(const std::string& path, int64_t alignment = 1);
  ~Hdf5Draft();  // not finished: removes it
  Hdf5Draft(const Hdf5Draft&) = delete;
  Hdf5Draft& operator=(const Hdf5Draft&) = delete;

  Hdf5File& file() { return *file_; }
  // Closes, syncs and renames, replacing a file of that name. Throws UserError.
  void finish();

 private:
  std::string path_, partial_;
  std::optional<Hdf5File> file_;  // none once it is finished
};

}  // namespace lime
