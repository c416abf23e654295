#include "tests/support/test_support.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "runtime/error.h"

namespace lime {
namespace {

std::string make_directory() {
  std::string pattern = testing::TempDir() + "/lime_test_XXXXXX";
  LIME_CHECK(mkdtemp(pattern.data()) != nullptr, "cannot make ", pattern);
  return pattern;
}

}  // namespace

TempDirectory::TempDirectory(Shared shared) : shared_(shared) {
  if (shared == Shared::no) {
    path_ = make_directory();
    return;
  }
  std::vector<char> bytes;
  if (test_group().rank() == 0) {
    path_ = make_directory();
    bytes.assign(path_.begin(), path_.end());
  }
  broadcast_bytes(test_group().world(), bytes, 0);
  path_.assign(bytes.begin(), bytes.end());
}

TempDirectory::~TempDirectory() {
  // While a test is being left by an exception on one rank, the others may never come to the barrier.
  if (shared_ == Shared::yes && std::uncaught_exceptions() == 0) test_group().world().barrier()->wait();
  if (shared_ == Shared::yes && test_group().rank() != 0) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  LIME_CHECK(in, "cannot read ", path);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  LIME_CHECK(out, "cannot write ", path);
}

}  // namespace lime
