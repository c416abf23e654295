#include "io/hdf5_draft.h"

#include <filesystem>

#include "runtime/error.h"

namespace lime {

Hdf5Draft::Hdf5Draft(const std::string& path, int64_t alignment)
    : path_(path),
      partial_(path + ".partial"),
      file_(std::in_place, partial_, Hdf5File::Mode::create, alignment) {}

Hdf5Draft::~Hdf5Draft() {
  if (!file_) return;
  file_.reset();
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);
}

void Hdf5Draft::finish() {
  file_->close();
  std::error_code error;
  std::filesystem::rename(partial_, path_, error);
  if (error) throw UserError(str(path_, ": ", error.message()));
  file_.reset();
}

}  // namespace lime
