#include "runtime/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
