#include "runtime/shared_library.h"

#include <dlfcn.h>

#include "runtime/error.h"

namespace lime {

SharedLibrary::SharedLibrary(std::string file, const std::string& remedy) : file_(std::move(file)) {
  handle_ = dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_) return;
  const std::string reason = dlerror();
  handle_ = dlopen(str("/usr/local/cuda/lib64/", file_).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle_)
    throw UserError(str("device 'cuda' needs ", file_, ": ", reason,
                        " (looked in LD_LIBRARY_PATH, the system's directories and /usr/local/cuda/lib64); ",
                        remedy));
}

void* SharedLibrary::symbol(const char* name) const {
  void* address = dlsym(handle_, name);
  if (!address)
    throw UserError(str("device 'cuda': ", file_, " has no ", name, ": it is of another version"));
  return address;
}

}  // namespace lime
