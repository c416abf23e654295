#include "runtime/file_text.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "tests/support/test_support.h"

namespace lime {
namespace {

TEST(FileText, IsAllBytesFromAnOffset) {
  const TempDirectory temp;
  std::string text(40'000, '.');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i / 7);
  write_file(temp.file("text"), text);
  EXPECT_EQ(file_text(temp.file("text")), text);
  EXPECT_EQ(file_text(temp.file("text"), 17'000), text.substr(17'000));
  EXPECT_EQ(file_text(temp.file("text"), 40'001), "");
}

TEST(FileText, APipeIsRead) {
  const TempDirectory temp;
  ASSERT_EQ(mkfifo(temp.file("pipe").c_str(), 0600), 0);
  std::thread writer([&] { write_file(temp.file("pipe"), "one: 1\n"); });
  EXPECT_EQ(file_text(temp.file("pipe")), "one: 1\n");
  writer.join();
}

TEST(FileText, WhatCannotBeReadIsNamed) {
  const TempDirectory temp;
  EXPECT_EQ(user_error([&] { file_text(temp.file("none")); }),
            temp.file("none") + ": cannot be read: No such file or directory");
  EXPECT_EQ(user_error([&] { file_text(temp.path()); }), temp.path() + ": cannot be read: Is a directory");
}

}  // namespace
}  // namespace lime
