// Logging starts once a process: every case is a child process, and main() starts none, unlike that of other tests.
#include "runtime/log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/error.h"

namespace lime {
namespace {

[[noreturn]] void log_as(int rank, int size, bool verbose, const std::string& file = "") {
  start_logging("log_test", rank, size, verbose, file);
  start_logging("log_test", 99, 100, true);  // the first call counts
  LOG(INFO) << "an info";
  LOG(WARNING) << "a warning";
  std::exit(0);
}

TEST(Log, LinesBeginWithTheRank) {
  EXPECT_EXIT(log_as(0, 8, false), testing::ExitedWithCode(0),
              "^\\[rank 0/8\\] I [0-9: -]+ log_test.cc:[0-9]+\\] an info\n"
              "\\[rank 0/8\\] W [0-9: -]+ log_test.cc:[0-9]+\\] a warning\n$");
}

TEST(Log, OtherRanksKeepInfoToThemselves) {
  EXPECT_EXIT(log_as(3, 8, false), testing::ExitedWithCode(0), "^\\[rank 3/8\\] W [^\n]*a warning\n$");
  EXPECT_EXIT(log_as(3, 8, true), testing::ExitedWithCode(0), "^\\[rank 3/8\\] I [^\n]*an info\n\\[rank 3/8\\] W");
}

TEST(Log, OneRankNeedsNoRank) {
  EXPECT_EXIT(log_as(0, 1, false), testing::ExitedWithCode(0), "^I [^\n]*an info\nW [^\n]*a warning\n$");
}

TEST(Log, TheFileHasAllLines) {
  std::string directory = testing::TempDir() + "/lime_log_XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/rank.log";
  EXPECT_EXIT(log_as(3, 8, false, path), testing::ExitedWithCode(0), "a warning");
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::filesystem::remove_all(directory);
  EXPECT_NE(text.str().find("an info\n"), std::string::npos);
  EXPECT_NE(text.str().find("a warning\n"), std::string::npos);
  EXPECT_EQ(text.str().find("[rank 3/8] "), 0u);
}

TEST(Log, AFileThatCannotBeWrittenIsTheUsersError) {
  EXPECT_THROW(start_logging("log_test", 0, 1, false, "/nonexistent/folder/x.log"), UserError);
}

}  // namespace
}  // namespace lime

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
