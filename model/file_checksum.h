// Checksums of files and digests of arrays: XXH3, 128 bits, 32 hexadecimal digits (as `xxh128sum` prints
// them).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lime {

// A running digest; the same for the same bytes however they are cut into pieces.
class Digest {
 public:
  Digest();
  ~Digest();

  void add(std::string_view bytes);
  template <typename T>
  void add(std::span<const T> values) {
    add(std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
  }
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string digest_of(std::string_view bytes);

struct FileChecksum {
  int64_t bytes = 0;
  std::string xxh3;
};

// Reads the whole file. Throws UserError naming it.
FileChecksum checksum_file(const std::string& path);

}  // namespace lime
