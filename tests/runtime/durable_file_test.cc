#include "runtime/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <iterator>

#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(WriteFileAtomically, ReplacesOrLeavesAlone) {
  const TempDirectory temp;
  write_file_atomically(temp.file("a"), "one");
  write_file_atomically(temp.file("a"), "two");
  EXPECT_EQ(read_file(temp.file("a")), "two");
  EXPECT_THROW(write_file_atomically(temp.file("nowhere/a"), "x"), UserError);
  EXPECT_EQ(std::distance(fs::directory_iterator(temp.path()), fs::directory_iterator()), 1);
  fs::create_directory(temp.file("folder"));
  EXPECT_THROW(write_file_atomically(temp.file("folder"), "x"), UserError);
  EXPECT_FALSE(fs::exists(temp.file("folder.partial")));
}

TEST(WriteFileAtomically, LeavesStreamsAlone) {
  const TempDirectory temp;
  ASSERT_EQ(mkfifo(temp.file("pipe").c_str(), 0600), 0);
  EXPECT_THAT([&] { write_file_atomically(temp.file("pipe"), "x"); },
              ThrowsMessage<UserError>(HasSubstr("pipe: is a device or pipe, expected a file to write")));
  EXPECT_TRUE(fs::is_fifo(temp.file("pipe")));
  for (const char* stream : {"/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
    EXPECT_TRUE(is_stream(stream)) << stream;
  write_file_atomically(temp.file("a"), "one");
  fs::create_symlink(temp.file("a"), temp.file("link"));
  for (const std::string& file : {temp.file("a"), temp.file("link"), temp.file("none"), temp.path(),
                                  std::string("a"), std::string("nowhere/a")})
    EXPECT_FALSE(is_stream(file)) << file;
}

TEST(WriteDurably, NamesWhatCannotBeWritten) {
  const TempDirectory temp;
  write_durably(temp.file("a"), "longer than what follows");
  write_durably(temp.file("a"), "one");
  EXPECT_EQ(read_file(temp.file("a")), "one");
  EXPECT_THAT([&] { write_durably(temp.path(), "x"); },
              ThrowsMessage<UserError>(HasSubstr(": cannot be written: Is a directory")));
  EXPECT_THAT([] { write_durably("/dev/full", "x"); },
              ThrowsMessage<UserError>(HasSubstr("/dev/full: cannot be written: No space left on device")));
}

}  // namespace
}  // namespace lime
