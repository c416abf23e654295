#include "io/csv_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Rows = std::vector<std::vector<std::string>>;

class CsvReaderTest : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    const std::string path = directory_.file("in.csv");
    write_file(path, text);
    return path;
  }
  Rows read_all(const std::string& text, const CsvOptions& options = {}) {
    CsvReader reader(write(text), options);
    Rows rows;
    while (reader.next()) {
      rows.emplace_back();
      for (size_t c = 0; c < reader.columns().size(); ++c) rows.back().emplace_back(reader.text(c));
    }
    return rows;
  }
  template <typename Error, typename Call>
  std::string message(Call&& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }

  TempDirectory directory_;
};

TEST_F(CsvReaderTest, SplitsPlainRows) {
  EXPECT_EQ(read_all("a,b,c\n1,2,3\n,,\n4,,6"), (Rows{{"1", "2", "3"}, {"", "", ""}, {"4", "", "6"}}));
}

TEST_F(CsvReaderTest, EndsLinesWithCrLfAndSkipsEmptyLinesAndByteOrderMark) {
  EXPECT_EQ(read_all("\xEF\xBB\xBF"
                     "a, b \r\n1,2\r\n\r\n\n3,4\r\n"),
            (Rows{{"1", "2"}, {"3", "4"}}));
  CsvReader reader(directory_.file("in.csv"));
  EXPECT_THAT(reader.columns(), ElementsAre("a", "b"));
  reader.next();
  EXPECT_EQ(reader.line(), 2);
  reader.next();
  EXPECT_EQ(reader.line(), 5);
}

TEST_F(CsvReaderTest, ReadsQuotedFields) {
  EXPECT_EQ(read_all("a,b\n\"[100,1k)\",x\n\"say \"\"hi\"\"\",\"\"\n\"\",\"two\nlines, here\"\nplain,5\" "
                     "pipe\n\"end\",\n"),
            (Rows{{"[100,1k)", "x"},
                  {"say \"hi\"", ""},
                  {"", "two\nlines, here"},
                  {"plain", "5\" pipe"},
                  {"end", ""}}));
}

TEST_F(CsvReaderTest, CountsLinesInsideQuotedFields) {
  CsvReader reader(write("a,b\n\"x\ny\nz\",1\n2,3\n"));
  reader.next();
  EXPECT_EQ(reader.line(), 2);
  reader.next();
  EXPECT_EQ(reader.line(), 5);
}

TEST_F(CsvReaderTest, SplitsAtLongAndOtherSeparators) {
  CsvOptions options;
  options.separator = "::";
  options.columns = {"user", "item", "rating"};
  EXPECT_EQ(read_all("1::2::3\n4::::x:y\n", options), (Rows{{"1", "2", "3"}, {"4", "", "x:y"}}));
  options.separator = "\t";
  options.quotes = false;
  EXPECT_EQ(read_all("1\t\"2\t3\n", options), (Rows{{"1", "\"2", "3"}}));
}

TEST_F(CsvReaderTest, GivesTheSameRowsForAnyBlockSize) {
  std::string text = "a,b,c\r\n";
  for (int i = 0; i < 500; ++i)
    text += str(i, ",\"q,", i, i % 7 == 0 ? "\n" : "", "\"\"\",",
                std::string(static_cast<size_t>(i % 40), 'x'), "\r\n");
  const Rows expected = read_all(text);
  ASSERT_EQ(expected.size(), 500U);
  EXPECT_EQ(expected[7][1], "q,7\n\"");
  for (const int64_t block : {16, 17, 31, 64, 1000}) {
    CsvOptions options;
    options.block_bytes = block;
    EXPECT_EQ(read_all(text, options), expected) << block;
  }
}

TEST_F(CsvReaderTest, ParsesNumbersStrictly) {
  CsvReader reader(write("i,r,bad\n-12,2.5e3,16x\n"));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.integer(0), -12);
  EXPECT_DOUBLE_EQ(reader.real(1), 2500.0);
  const std::string path = directory_.file("in.csv");
  EXPECT_EQ(message<BadRow>([&] { reader.integer(2); }), path + ":2:bad: found '16x', expected an integer");
  EXPECT_EQ(message<BadRow>([&] { reader.real(2); }), path + ":2:bad: found '16x', expected a number");
  EXPECT_EQ(message<BadRow>([&] { reader.integer(1); }), path + ":2:r: found '2.5e3', expected an integer");
  EXPECT_EQ(message<BadRow>([&] { reader.integer(0, 0, 9); }),
            path + ":2:i: found '-12', expected an integer from 0 to 9");
  for (const char* text : {"", " 1", "1 ", "+1", "0x10", "9223372036854775808", "1,0"}) {
    CsvOptions options;
    options.separator = "|";
    options.columns = {"x", "y"};
    CsvReader other(write(str(text, "|z\n")), options);
    ASSERT_TRUE(other.next());
    EXPECT_THROW(other.integer(0), BadRow) << text;
  }
  for (const char* text : {"nan", "inf", "1e999", "."}) {
    CsvReader other(write(str("x\n", text, "\n")));
    ASSERT_TRUE(other.next());
    EXPECT_THROW(other.real(0), BadRow) << text;
  }
}

TEST_F(CsvReaderTest, GoesOnAfterABadRow) {
  CsvReader reader(write("a,b\n1,2,3\n4\n\"5\" x,6\n\"open,7\n8,9\n"));
  EXPECT_THAT(message<BadRow>([&] { reader.next(); }),
              HasSubstr("in.csv:2: found 3 fields, expected 2 (a ... b)"));
  EXPECT_THAT(message<BadRow>([&] { reader.next(); }), HasSubstr("in.csv:3: found 1 fields"));
  EXPECT_THAT(message<BadRow>([&] { reader.next(); }),
              HasSubstr("in.csv:4: found ' x,6' after a closing quote"));
  EXPECT_THAT(message<BadRow>([&] { reader.next(); }),
              HasSubstr("in.csv:5: found a quote that is not closed"));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.text(1), "9");
  EXPECT_EQ(reader.line(), 6);
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.rows(), 5);
}

// The rows between two stray quotes are no field: they are read, and each of the quotes spoils its own line.
TEST_F(CsvReaderTest, TwoStrayQuotesSpoilTwoLines) {
  std::string text = "item,title,by\r\n";
  for (int i = 2; i <= 500; ++i)
    text += str(i,
                i == 11    ? ",\"bad title,"
                : i == 491 ? ",\"another bad,"
                           : ",\"\"\"good\"\", title\",",
                i, "\r\n");
  for (const int64_t block : {16, 1000, 1 << 20}) {
    CsvOptions options;
    options.block_bytes = block;
    CsvReader reader(write(text), options);
    std::vector<std::string> wrong;
    for (bool more = true; more;) {
      try {
        more = reader.next();
        if (!more) break;
        EXPECT_EQ(reader.integer(0), reader.line());
        EXPECT_EQ(reader.text(1), "\"good\", title");
        EXPECT_EQ(reader.integer(2), reader.line());
      } catch (const BadRow& row) {
        wrong.emplace_back(row.what());
      }
    }
    EXPECT_THAT(wrong,
                ElementsAre(HasSubstr("in.csv:11: found 'good\"\", ti' after a closing quote in line 12, "
                                      "expected a separator"),
                            HasSubstr("in.csv:491: found 'good\"\", ti' after")));
    EXPECT_EQ(reader.rows(), 499);
  }
  CsvReader plain(write("item,title\n1,\"bad title\n2,x\n3,y\n4,\"another bad\n5,\"5\"\n"));
  EXPECT_THAT(
      message<BadRow>([&] { plain.next(); }),
      HasSubstr("in.csv:2: found 'another ba' after a closing quote in line 5, expected a separator"));
  for (const char* title : {"x", "y"}) {
    ASSERT_TRUE(plain.next());
    EXPECT_EQ(plain.text(1), title);
  }
  EXPECT_THAT(message<BadRow>([&] { plain.next(); }),
              HasSubstr("in.csv:5: found '5\"' after a closing quote"));
  ASSERT_TRUE(plain.next());
  EXPECT_EQ(plain.text(1), "5");
  EXPECT_FALSE(plain.next());
}

TEST_F(CsvReaderTest, NamesTheNearestColumn) {
  CsvReader reader(write("user_id,item_id,time\n1,2,3\n"));
  EXPECT_EQ(reader.column("time"), 2U);
  EXPECT_THAT(message<UserError>([&] { reader.column("userid"); }),
              HasSubstr("in.csv:1: no column 'userid' (nearest: 'user_id'); found user_id, item_id, time"));
  EXPECT_THAT(user_error([&] { CsvReader(write("user;item\n1;2\n")).column("user"); }),
              testing::EndsWith("in.csv:1: no column 'user' (is the separator ','?); found user;item"));
}

TEST_F(CsvReaderTest, OfManyOrLongNamesSomeAreShown) {
  const std::string name(70, 'x');
  std::string header = name;
  for (int k = 0; k < 1000; ++k) header += str(",", k % 10, std::string(18, 'y'), k);
  const std::string said = user_error([&] { CsvReader(write(header + "\n1,2\n")).column("user"); });
  EXPECT_THAT(said, HasSubstr("); found " + name.substr(0, 60) + "..., 0yyy"));
  EXPECT_THAT(said, testing::EndsWith(" more"));
  EXPECT_LT(said.size(), 2500U);
}

TEST_F(CsvReaderTest, LinesThatEndWithCrAreNamed) {
  EXPECT_THAT(
      user_error([&] { CsvReader(write("user,item\r1,2\r3,4\r")); }),
      testing::EndsWith("in.csv:1: found lines that end with CR, expected LF or CRLF (tr '\\r' '\\n' < "
                        "FILE > NEW)"));
  EXPECT_EQ(CsvReader(write("user,item\r\n1,2\r\n")).columns().size(), 2U);
  EXPECT_EQ(CsvReader(write("user,\"item\r\n(sku)\"\r\n1,2\r\n")).columns()[1], "item\r\n(sku)");
}

TEST_F(CsvReaderTest, ATwofoldColumnIsRefusedWhereItIsAskedFor) {
  CsvReader reader(write("a,b,a\n1,2,3\n"));
  EXPECT_EQ(reader.column("b"), 1U);
  EXPECT_THAT(user_error([&] { reader.column("a"); }),
              testing::EndsWith(":1: found column 'a' twice, expected names that differ"));
}

TEST_F(CsvReaderTest, NamesWhatIsNotText) {
  EXPECT_THAT(user_error([&] { CsvReader(write("PK\x03\x04 and more")); }),
              HasSubstr("in.csv: found a zip archive"));
  EXPECT_THAT(user_error([&] { CsvReader(write("PAR1 and more")); }),
              HasSubstr("in.csv: found Parquet, which cannot be read: "));
  const std::string tar = std::string("raw_sample.csv").append(243, '\0') + "ustar\00000user,item\n1,2\n";
  EXPECT_THAT(user_error([&] { CsvReader(write(tar)); }), HasSubstr("in.csv: found a tar archive"));
  const std::string wide("u\0,\0i\0\n\0", 8);
  EXPECT_THAT(
      user_error([&] { CsvReader(write("\xFF\xFE" + wide)); }),
      testing::EndsWith("in.csv: found UTF-16, expected UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)"));
  EXPECT_THAT(user_error([&] { CsvReader(write(wide)); }), HasSubstr("in.csv: found bytes that are no text"));
}

TEST_F(CsvReaderTest, RefusesWhatIsNoFileOrHasNoHeader) {
  EXPECT_THAT(message<UserError>([&] { CsvReader(directory_.file("none.csv")); }),
              HasSubstr("none.csv: cannot open"));
  EXPECT_THAT(message<UserError>([&] { CsvReader{directory_.path()}; }), HasSubstr("cannot read"));
  EXPECT_THAT(message<UserError>([&] { CsvReader(write("\n\n")); }),
              HasSubstr("in.csv: found an empty file"));
  EXPECT_THAT(message<UserError>([&] { CsvReader(write(std::string(size_t{65} << 20, 'x'))); }),
              HasSubstr("in.csv:1: found a line of more than 67108864 bytes"));
}

}  // namespace
}  // namespace lime
