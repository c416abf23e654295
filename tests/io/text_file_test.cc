#include "io/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "io/csv_reader.h"
#include "io/import_movielens.h"
#include "tests/io/import_dump.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string table(int rows) {
  std::string text = "a,b\n";
  for (int i = 0; i < rows; ++i) text += str(i * 7919 % 100003, ",", i, "\n");
  return text;
}

std::string read_all(const std::string& path, size_t piece = 5000) {
  TextFile file(path);
  std::string text, buffer(piece, '\0');
  while (const size_t got = file.read(buffer.data(), buffer.size())) text.append(buffer, 0, got);
  EXPECT_EQ(file.read(buffer.data(), buffer.size()), 0U) << "after its end";
  return text;
}

class TextFileTest : public testing::Test {
 protected:
  std::string compressed(const std::string& program, const std::string& text, const std::string& name) {
    write_file(directory_.file("plain"), text);
    const std::string to = directory_.file(name);
    EXPECT_EQ(std::system(str(program, " -1 -c '", directory_.file("plain"), "' > '", to, "'").c_str()), 0);
    return to;
  }

  TempDirectory directory_;
};

TEST_F(TextFileTest, ReadsPlainText) {
  write_file(directory_.file("in"), table(1000));
  EXPECT_EQ(read_all(directory_.file("in")), table(1000));
  write_file(directory_.file("none"), "");
  EXPECT_EQ(read_all(directory_.file("none")), "");
}

class CompressedTest : public TextFileTest, public testing::WithParamInterface<const char*> {};

TEST_P(CompressedTest, IsToldByItsFirstBytes) {
  const std::string text = table(200000);  // more than a pipe holds
  EXPECT_TRUE(read_all(compressed(GetParam(), text, "log.csv"), 70000) == text);
}

TEST_P(CompressedTest, SeveralStreamsAreOneText) {
  const std::string first = compressed(GetParam(), "a,b\n1,2\n", "first");
  const std::string second = compressed(GetParam(), "3,4\n", "second");
  write_file(directory_.file("both"), read_file(first) + read_file(second));
  EXPECT_EQ(read_all(directory_.file("both")), "a,b\n1,2\n3,4\n");
}

TEST_P(CompressedTest, ACutOrDamagedFileIsNamed) {
  const std::string whole = read_file(compressed(GetParam(), table(50000), "log"));
  const std::string path = directory_.file("log.csv");
  const auto refusal =
      AllOf(HasSubstr(path + ": cannot be decompressed"), HasSubstr(str(GetParam(), " -dc: ")));
  write_file(path, whole.substr(0, whole.size() / 2));
  EXPECT_THAT(user_error([&] { read_all(path); }), refusal);
  std::string damaged = whole;
  damaged[whole.size() / 2] ^= 0x10;
  write_file(path, damaged);
  EXPECT_THAT(user_error([&] { read_all(path); }), refusal);
}

TEST_P(CompressedTest, IsLeftInTheMiddle) {
  {
    TextFile file(compressed(GetParam(), table(200000), "log"));
    std::string some(100, '\0');
    EXPECT_GT(file.read(some.data(), some.size()), 0U);
    EXPECT_GT(file.fraction(), 0);
  }
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "its program is still there";
  EXPECT_EQ(errno, ECHILD);
}

INSTANTIATE_TEST_SUITE_P(Programs, CompressedTest, testing::Values("gzip", "bzip2", "xz", "zstd", "lz4"),
                         [](const auto& of) { return std::string(of.param); });

TEST_F(TextFileTest, SaysHowMuchWasRead) {
  const std::string path = compressed("gzip", table(200000), "log");
  TextFile file(path);
  std::string buffer(1 << 16, '\0');
  ASSERT_GT(file.read(buffer.data(), buffer.size()), 0U);
  EXPECT_GT(file.fraction(), 0);
  EXPECT_LT(file.fraction(), 0.9);
  while (file.read(buffer.data(), buffer.size()) > 0) {
  }
  EXPECT_EQ(file.fraction(), 1);
}

TEST_F(TextFileTest, NamesAProgramThatIsNotThere) {
  const std::string path = compressed("gzip", "a\n", "log");
  const std::string search = std::getenv("PATH");
  setenv("PATH", directory_.path().c_str(), 1);
  const std::string error = user_error([&] { TextFile{path}; });
  setenv("PATH", search.c_str(), 1);
  EXPECT_THAT(error, HasSubstr(path + ": found gzip data, and the program gzip cannot be started: "));
}

TEST_F(TextFileTest, ReadsAPipe) {
  const std::string path = directory_.file("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(path) << table(30000); });
  EXPECT_TRUE(read_all(path) == table(30000));
  writer.join();
}

TEST_F(TextFileTest, RowsOfACompressedTableAreNamedByTheirLines) {
  CsvReader reader(compressed("xz", "a,b\n1,2\n3,x\n", "log.csv.xz"));
  ASSERT_TRUE(reader.next());
  ASSERT_TRUE(reader.next());
  EXPECT_THAT(user_error([&] { reader.integer(1); }), HasSubstr("log.csv.xz:3:b: found 'x'"));
}

TEST_F(TextFileTest, AnImportMakesTheSameOfCompressedFiles) {
  MovieLensOptions options;
  options.out = directory_.file("dataset");
  options.ratings = compressed("zstd", "1::30::3::978307200\n1::20::4::978307199\n", "ratings.dat.zst");
  import_movielens(options);
  const auto data = dump(Dataset::open(options.out));
  ASSERT_EQ(data.requests.size(), 2U);
  EXPECT_EQ(data.request(1, int64_t{978307200} * 1000).candidates[0].item, 30);
}

TEST(WithoutCompression, TakesOneEndingOff) {
  EXPECT_EQ(without_compression("a/log.tsv.gz"), "a/log.tsv");
  EXPECT_EQ(without_compression("log.csv.zst"), "log.csv");
  EXPECT_EQ(without_compression("log.csv"), "log.csv");
  EXPECT_EQ(without_compression("log.gz.csv"), "log.gz.csv");
}

}  // namespace
}  // namespace lime
