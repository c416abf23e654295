#include "launch/version.h"

#include <fstream>

#include "lime_version.h"
#include "runtime/device.h"
#include "runtime/error.h"

namespace lime {

BuildInfo build_info() { return {LIME_VERSION, LIME_COMMIT, LIME_COMPILER, LIME_BUILD_TYPE, LIME_LIBRARIES}; }

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string version_text() {
  const BuildInfo info = build_info();
  return str("lime ", info.version, " (commit ", info.commit, ")\nbuilt with ", info.compiler, ", ",
             info.build_type, "; ", info.libraries, "; devices: cpu", built_with_cuda() ? ", cuda" : "");
}

}  // namespace lime
