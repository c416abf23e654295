// What every test program shares: its process group and temporary directories.
//
// test_main.cc starts the group (MPI under mpirun, else one process), logging and a watchdog. A test fails on
// all ranks when it fails on one, and a test that hangs is ended with its name after LIME_TEST_LIMIT_S
// seconds (default 120).
#pragma once

#include <string>

#include "parallel/process_group.h"
#include "runtime/error.h"

namespace lime {

ProcessGroup& test_group();

// A fresh directory under testing::TempDir(), removed with all its files at the end.
class TempDirectory {
 public:
  enum class Shared : bool { no, yes };
  // `yes`: one directory for all ranks (collective; removed by rank 0 after all ranks are done with it).
  explicit TempDirectory(Shared shared = Shared::no);
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  Shared shared_;
};

// Reads and writes whole files; both fail the test by throwing Error.
std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& text);

// The message of the UserError that `body` throws; says so where it throws none.
template <typename Body>
std::string user_error(Body&& body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no UserError was thrown";
}

}  // namespace lime
