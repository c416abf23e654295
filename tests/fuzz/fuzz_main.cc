// libFuzzer's entry for one target, LIME_FUZZ_TARGET. `fuzz_NAME --seeds DIR` writes the target's seeds into
// a folder.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "tests/fuzz/fuzz_target.h"

namespace {

const lime::fuzz::Target& target() { return lime::fuzz::LIME_FUZZ_TARGET; }

[[noreturn]] void write_seeds(const std::string& directory) {
  std::filesystem::create_directories(directory);
  int number = 0;
  for (const auto& seed : target().seeds())
    std::ofstream(directory + "/seed-" + std::to_string(number++), std::ios::binary) << seed;
  std::cout << number << " seeds of " << target().name << " in " << directory << "\n";
  std::exit(0);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::strcmp((*argv)[1], "--seeds") == 0) write_seeds((*argv)[2]);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  target().run({reinterpret_cast<const char*>(data), size});
  return 0;
}
