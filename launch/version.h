// What this program was built from, and what it runs on.
#pragma once

#include <string>

namespace lime {

struct BuildInfo {
  std::string version;     // "0.1.0"
  std::string commit;      // git describe, or "unknown" for a build outside a repository
  std::string compiler;    // "GNU 12.2.0"
  std::string build_type;  // "Release"
  std::string libraries;   // "MPI 3.1, HDF5 1.10.8, ..."
};

BuildInfo build_info();
std::string cpu_model();     // "Intel(R) Xeon(R) ...", or "unknown"
std::string version_text();  // lime --version: one line an item

}  // namespace lime
