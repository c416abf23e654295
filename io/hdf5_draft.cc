#include "io/hdf5_draft.h"

#include <filesystem>

namespace lime {

Hdf5Draft::Hdf5Draft(const std::string& path, int64_t alignment)
    : path_(path),
      partial_(path + ".partial"),
      file_(std::in_place, partial_, Hdf5File::Mode::create, alignment) {}

Hdf5Draft::~Hdf5Draft() {
  if (!file_) return;
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);  // before another process may have it
}

void Hdf5Draft::finish() {
  file_->close_as(path_);
  file_.reset();
}

}  // namespace lime
