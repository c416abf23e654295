#include "runtime/emulator/race_place.h"

#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "runtime/error.h"

namespace lime::emulator::race {

namespace {

struct InProgram {
  std::string file;
  std::string offset;  // 0x..
};

InProgram in_program(uintptr_t address) {
  Dl_info info{};
  std::array<char, 32> offset{};
  if (!dladdr(reinterpret_cast<const void*>(address), &info) || !info.dli_fname) return {"?", "?"};
  std::snprintf(offset.data(), offset.size(), "0x%zx",
                static_cast<size_t>(address - reinterpret_cast<uintptr_t>(info.dli_fbase)));
  std::error_code ignored;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", ignored).string();
  // The name of the program itself is as it was started, maybe by a path that is no longer right.
  Dl_info program{};
  const bool is_self = dladdr(reinterpret_cast<const void*>(&in_program), &program) &&
                       program.dli_fbase == info.dli_fbase &&
                       !std::filesystem::exists(info.dli_fname, ignored);
  return {is_self ? self : info.dli_fname, offset.data()};
}

// What addr2line prints for the instruction, a line a frame, the innermost first: "/path/file:line".
std::vector<std::string> frames_of(const InProgram& at) {
  std::vector<std::string> frames;
  const std::string command = str("addr2line -i -e '", at.file, "' ", at.offset, " 2>/dev/null");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> output(popen(command.c_str(), "r"), pclose);
  if (!output) return frames;
  std::array<char, 4096> line{};
  while (std::fgets(line.data(), line.size(), output.get())) {
    std::string frame = line.data();
    frame.erase(frame.find_last_not_of("\n") + 1);
    frame = frame.substr(0, frame.find(' '));  // " (discriminator 3)"
    if (!frame.empty() && frame[0] != '?') frames.push_back(frame);
  }
  return frames;
}

std::string name_of(const std::string& frame) { return frame.substr(frame.rfind('/') + 1); }

}  // namespace

std::string offset_in_program(uintptr_t address) {
  const InProgram at = in_program(address);
  return str(name_of(at.file), "+", at.offset);
}

std::string place_of(uintptr_t instruction) {
  std::string inner, kernel;
  for (const std::string& frame : frames_of(in_program(instruction))) {
    if (frame.find("/runtime/emulator/") != std::string::npos ||
        frame.find("/include/c++/") != std::string::npos)
      continue;
    if (inner.empty()) inner = name_of(frame);
    if (frame.find(".cu:") != std::string::npos) {
      kernel = name_of(frame);
      break;
    }
  }
  if (inner.empty()) return offset_in_program(instruction);
  return kernel.empty() || kernel == inner ? inner : str(inner, " in ", kernel);
}

}  // namespace lime::emulator::race
