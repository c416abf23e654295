// Libraries that are opened when they are first used, not when the program starts.
#pragma once

#include <string>

namespace lime {

class SharedLibrary {
 public:
  // `file` as the loader looks for it (LD_LIBRARY_PATH, ldconfig), then in /usr/local/cuda/lib64. Throws
  // UserError, with the loader's reason and `remedy`, if it cannot be opened. Stays open for ever.
  SharedLibrary(std::string file, const std::string& remedy);

  // Sets a function pointer. Throws UserError if the library has no such function: it is of another version.
  template <typename Function>
  void load(Function& function, const char* name) const {
    function = reinterpret_cast<Function>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;
  std::string file_;
  void* handle_;
};

}  // namespace lime
