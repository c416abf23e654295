#include "runtime/error.h"

#include <cstring>

namespace lime {

void throw_check_failure(const char* file, int line, const char* condition, const std::string& message) {
  // The path below the repository is enough to find it: folder/file.cc.
  const char* name = file;
  if (const char* slash = std::strrchr(file, '/')) {
    while (slash > file && slash[-1] != '/') --slash;
    name = slash;
  }
  throw Error(str(name, ":", line, ": ", condition, " does not hold", message.empty() ? "" : ": ", message));
}

}  // namespace lime
