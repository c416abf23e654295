// Parquet, ORC and Arrow files as imports read them, through python3 and pyarrow. Without pyarrow the tests
// are skipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "io/csv_reader.h"
#include "io/import_csv.h"
#include "io/import_csv_mapping.h"
#include "io/import_values.h"
#include "tests/io/import_dump.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Parquet : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c 'import pyarrow.parquet' 2> /dev/null") != 0)
      GTEST_SKIP() << "python3 has no pyarrow";
  }
  // The columns of a pyarrow.table, in Python.
  std::string write(const std::string& columns, const std::string& name, const std::string& more = "") {
    const std::string script = directory_.file("write.py"), to = directory_.file(name);
    write_file(script, str("import datetime, decimal\nimport pyarrow as pa, pyarrow.parquet as parquet\n",
                           "parquet.write_table(pa.table({", columns, "}), '", to, "'", more, ")\n"));
    EXPECT_EQ(std::system(("python3 " + script).c_str()), 0);
    return to;
  }
  // The header and all rows, fields side by side.
  static std::vector<std::string> rows_of(const std::string& path) {
    CsvReader reader(path);
    std::vector<std::string> rows(1);
    for (const auto& column : reader.columns()) rows[0] += column + ";";
    while (reader.next()) {
      rows.emplace_back();
      for (size_t c = 0; c < reader.columns().size(); ++c) rows.back() += str(reader.text(c), ";");
    }
    return rows;
  }

  TempDirectory directory_;
};

TEST_F(Parquet, ScalarsAreTheirText) {
  EXPECT_THAT(
      rows_of(write(
          "'user': pa.array([7, None], pa.int64()), 'item': ['a,\"b\"', 'c\\nd'],\n"
          "'price': [0.1, float('nan')], 'click': [True, False], 'shop': [1234567890123456.0, None],\n"
          "'size': [9007199254740991.0, 0.5], 'far': [1e300, -3.0], 'keys': [[1e15, None], [2.5, 7e15]],\n"
          "'time': pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5, 600000)] * 2, "
          "pa.timestamp('us', tz='UTC')), 'day': [datetime.date(2024, 1, 2)] * 2,\n"
          "'name': pa.array(['x', 'y']).dictionary_encode(), 'raw': [b'z', None],\n"
          "'cost': [decimal.Decimal('1.20')] * 2, 'took': pa.array([1500, None], pa.duration('ms'))",
          "log.parquet")),
      ElementsAre("user;item;price;click;shop;size;far;keys;time;day;name;raw;cost;took;",
                  "7;a,\"b\";0.1;1;1234567890123456;9007199254740991;1e+300;1000000000000000|;2024-01-02 "
                  "03:04:05.600000Z;2024-01-02;x;z;1.20;1500;",
                  ";c\nd;;0;;0.5;-3;2.5|7000000000000000;2024-01-02 03:04:05.600000Z;2024-01-02;y;;1.20;;"));
}

TEST_F(Parquet, ListsAreJoinedAndStructsTakenApart) {
  EXPECT_THAT(
      rows_of(write(
          "'tags': [['x', 'y'], [], None], 'ids': [[1, 2], [3, None], [None]],\n"
          "'at': [{'shop': 5, 'where': {'city': 'Oslo'}}, None, {'shop': None, 'where': None}],\n"
          "'map': pa.array([[('k', 1)]] * 3, pa.map_(pa.string(), pa.int64())), 'deep': [[[1]], [], None]",
          "log.parquet")),
      ElementsAre("tags;ids;at.shop;at.where.city;", "x|y;1|2;5;Oslo;", ";3|;;;", ";;;;"));
}

TEST_F(Parquet, ListsOfStructsAreListsSideBySide) {
  const std::string path = write(
      "'user': [1, 2, 3, 4], 'shown': [[{'item': 'x', 'price': 2.5, 'click': True, 'at': {'row': 3}, 'tags': "
      "[1]},\n"
      "  None, {'item': None, 'price': float('nan'), 'click': False, 'at': None, 'tags': None}], [], None,\n"
      "  [{'item': 'y', 'price': 1.0, 'click': False, 'at': {'row': 4}, 'tags': None}]],\n"
      "'seen': pa.array([[True, None], None, [False], []], pa.list_(pa.bool_())),\n"
      "'pair': pa.array([[1, 2], None, [None, 4], [5, 6]], pa.list_(pa.int32(), 2))",
      "log.parquet", ", row_group_size=2");
  EXPECT_THAT(rows_of(path),
              ElementsAre("user;shown.item;shown.price;shown.click;shown.at.row;seen;pair;",
                          "1;x||;2.5||;1||0;3||;1|;1|2;", "2;;;;;;;", "3;;;;;0;|4;", "4;y;1;0;4;;5|6;"));
  CsvOptions options;
  options.wanted = {"shown.click", "user"};
  CsvReader reader(path, options);
  EXPECT_THAT(reader.columns(), ElementsAre("user", "shown.click"));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.text(1), "1||0");
}

// Arrow keeps what stands below a null; it is missing all the same.
TEST_F(Parquet, MembersOfANullAreMissing) {
  const std::string path = directory_.file("log.arrow"), script = directory_.file("nulls.py");
  write_file(script, str("import pyarrow as pa, pyarrow.feather\n"
                         "shown = pa.StructArray.from_arrays([pa.array([4, 5, 6])], ['id'], "
                         "mask=pa.array([False, True, False]))\n"
                         "pa.feather.write_feather(pa.table({'user': [1, 2],\n"
                         "  'shown': pa.ListArray.from_arrays([0, 2, 3], shown)}), '",
                         path, "')\n"));
  ASSERT_EQ(std::system(("python3 " + script).c_str()), 0);
  EXPECT_THAT(rows_of(path), ElementsAre("user;shown.id;", "1;4|;", "2;6;"));
}

TEST_F(Parquet, ARowOfManyEventsIsReadByItself) {
  const std::string path =
      write("'user': list(range(40)), 'items': [list(range(100000))] * 40", "log.parquet");
  CsvOptions options;
  options.explode.columns = {"items"};
  CsvReader reader(path, options);
  int64_t orderly = 0;
  while (reader.next()) orderly += reader.integer(1) == (reader.rows() - 1) % 100000;
  EXPECT_EQ(orderly, 40 * 100000);
}

TEST_F(Parquet, ImpressionListsAreImported) {
  write(
      "'user': [7, 8], 'at': pa.array([1704110400000, 1704110460000], pa.timestamp('ms')),\n"
      "'page': [{'shown': [{'item': 'a', 'click': True}, {'item': 'b', 'click': False}]},\n"
      "         {'shown': [{'item': 'b', 'click': True}]}]",
      "log.parquet");
  write_file(directory_.file("shop.yaml"),
             "impressions: {files: log.parquet, user: user, item: page.shown.item, time: {column: at, unit: "
             "iso8601},\n"
             "  explode: [page.shown.item, page.shown.click], labels: {click: page.shown.click}}\n");
  CsvImportOptions options;
  options.mapping = directory_.file("shop.yaml");
  options.out = directory_.file("data");
  import_csv(options);
  const auto data = dump(Dataset::open(options.out));
  const auto& candidates = data.request(7, 1704110400000).candidates;
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_EQ(candidates[1].item, hashed_id("b"));
  EXPECT_EQ(candidates[0].labels.at("click"), 1);
  EXPECT_EQ(candidates[1].labels.at("click"), 0);
  EXPECT_EQ(data.request(8, 1704110460000).candidates.size(), 1u);
}

TEST_F(Parquet, IsReadInPiecesAndSaysHowFarItIs) {
  const std::string path = write("'n': list(range(1000000))", "log.parquet", ", row_group_size=70000");
  CsvReader reader(path);
  int64_t rows = 0, orderly = 0;
  double last = 0, early = 0;
  for (; reader.next(); ++rows) {
    orderly += reader.integer(0) == rows;
    EXPECT_GE(reader.fraction(), last);
    last = reader.fraction();
    if (rows == 100000) early = last;  // the second batch: the first is done
  }
  EXPECT_EQ(rows, 1000000);
  EXPECT_EQ(orderly, rows);
  EXPECT_GT(early, 0.05);
  EXPECT_LT(early, 0.9);
  EXPECT_EQ(last, 1);
}

TEST_F(Parquet, ItsNamesAndItsSeparatorAreItsOwn) {
  CsvOptions options;
  options.separator = "::", options.quotes = false, options.columns = {"b", "a"};
  CsvReader reader(write("'a': ['1,2'], 'b': [3]", "log.dat"), options);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.text(reader.column("a")), "1,2");
  EXPECT_EQ(reader.integer(reader.column("b")), 3);
}

TEST_F(Parquet, IsReadForTheColumnsWanted) {
  const std::string path = write(
      "'user': [7], 'wide': ['x' * 1000], 'at': [{'shop': 5, 'where': 'Oslo'}], 'tags': [['x', 'y']],\n"
      "'a.b': [3], 'dt': ['2024-01-02']",
      "log.parquet");
  const auto columns_for = [](const std::string& file, std::vector<std::string> wanted) {
    CsvOptions options;
    options.wanted = std::move(wanted);
    CsvReader reader(file, options);
    EXPECT_TRUE(reader.next());
    std::string row;
    for (size_t c = 0; c < reader.columns().size(); ++c)
      row += str(reader.columns()[c], "=", reader.text(c), ";");
    return row;
  };
  EXPECT_EQ(columns_for(path, {"tags", "user", "tags"}), "user=7;tags=x|y;");
  EXPECT_EQ(columns_for(path, {"at.where", "a.b"}), "at.where=Oslo;a.b=3;");
  // One that is missing: all, for the message and for what may do without it.
  EXPECT_THAT(columns_for(path, {"user", "usr"}), AllOf(HasSubstr("wide=xxx"), HasSubstr("tags=x|y")));
  // One that the directories name may be the file's own, or not be there.
  const std::string below = directory_.file("dt=2024-02-03/zone=9");
  ASSERT_EQ(std::system(str("mkdir -p ", below, "; cp ", path, " ", below).c_str()), 0);
  EXPECT_EQ(columns_for(below + "/log.parquet", {"tags", "dt", "zone"}), "tags=x|y;dt=2024-01-02;zone=9;");
}

TEST_F(Parquet, ACutOrDamagedFileIsNamed) {
  const std::string path = write("'n': list(range(100000))", "log.parquet"), whole = read_file(path);
  const auto refusal = HasSubstr(path + ": found Parquet, which cannot be read: ");
  write_file(path, whole.substr(0, whole.size() / 2));
  EXPECT_THAT(user_error([&] { rows_of(path); }), AllOf(refusal, HasSubstr("footer")));
  std::string damaged = whole;
  for (size_t i = 100; i < 200; ++i) damaged[i] = '\xFF';
  write_file(path, damaged);
  EXPECT_THAT(user_error([&] { rows_of(path); }), refusal);
}

TEST_F(Parquet, IsImportedAsTextIs) {
  write(
      "'user': [1, 1, 2], 'item': ['a', 'b', 'a'], 'clicked': [True, False, True], 'price': [1.5, None, "
      "2.0],\n"
      "'at': pa.array([1704110400000, 1704110460000, 1704114000000], pa.timestamp('ms'))",
      "log.parquet");
  write("'item': ['a', 'b'], 'tags': [['red', 'old'], None], 'shelf': ['x', 'NULL']", "items.parquet");
  write_file(directory_.file("shop.yaml"),
             "impressions: {files: log.parquet, user: user, item: item, time: {column: at, unit: iso8601},\n"
             "  labels: {click: clicked}, candidate_features: {price: {kind: real}}}\n"
             "items: {files: items.parquet, item: item, missing: 'NULL',\n"
             "  features: {tags: {kind: ids}, shelf: {kind: id}}}\n");
  CsvImportOptions options;
  options.mapping = directory_.file("shop.yaml");
  options.out = directory_.file("data");
  import_csv(options);
  const auto data = dump(Dataset::open(options.out));
  ASSERT_EQ(data.requests.size(), 3u);
  const auto& first = data.request(1, 1704110400000);
  EXPECT_EQ(first.candidates.at(0).item, hashed_id("a"));
  EXPECT_EQ(first.candidates.at(0).labels.at("click"), 1);
  EXPECT_EQ(first.candidates.at(0).reals.at("price"), 1.5f);
  EXPECT_THAT(data.request(1, 1704110460000).candidates.at(0).reals.at("price"), testing::IsNan());
  EXPECT_THAT(data.items.at(hashed_id("a")).lists.at("tags"),
              ElementsAre(hashed_id("red"), hashed_id("old")));
  EXPECT_THAT(data.items.at(hashed_id("b")).lists.at("tags"), ElementsAre());
  EXPECT_EQ(data.items.at(hashed_id("a")).ids.at("shelf"), hashed_id("x"));
  EXPECT_EQ(data.items.at(hashed_id("b")).ids.at("shelf"), -1);
}

TEST_F(Parquet, IsReadForWhatIsExplodedAndContained) {
  const std::string path =
      write("'user': [7], 'ts': [5], 'shown': ['a-1 b-0'], 'liked': [['a']], 'own': ['a'], 'more': ['x']",
            "log.parquet");
  write_file(directory_.file("shop.yaml"),
             "impressions: {files: log.parquet, user: user, item: item, time: {column: ts, unit: s},\n"
             "  explode: {columns: shown, separator: ' ', cut: '-', into: [item, click], index: place},\n"
             "  labels: {click: click, like: {column: liked, contains: own}},\n"
             "  candidate_features: {place: {kind: id}}}\n");
  const CsvMapping mapping = read_mapping(directory_.file("shop.yaml"));
  EXPECT_THAT(open_source(mapping.impressions, path).columns(),
              ElementsAre("user", "ts", "shown", "liked", "own", "item", "click", "place"));
  CsvImportOptions options;
  options.mapping = directory_.file("shop.yaml");
  options.out = directory_.file("data");
  import_csv(options);
  const auto data = dump(Dataset::open(options.out));
  EXPECT_EQ(data.requests.at(0).candidates.at(1).labels.at("like"), 1);
  EXPECT_EQ(data.requests.at(0).candidates.at(1).item, hashed_id("b"));
}

TEST_F(Parquet, IsImportedForAllThatAMappingNames) {
  write(
      "'user': [1, 1], 'item': [5, 6], 'ts': [86400, 86401], 'date': ['1970-01-05'] * 2, 'session': [3, 3], "
      "'clicked': "
      "[1, 0], 'dwell': [9.5, 0.0], 'hour': [0, 0], 'rank': [1, 2], 'why': ['a', 'b'], 'shown': [True, "
      "False], 'more': [0, 0]",
      "log.parquet");
  write("'who': [1], 'item': [7], 'ts': [86399], 'what': [4]", "events.parquet");
  const std::string mapping =
      "impressions: {files: log.parquet, user: user, item: item, time: {column: ts, unit: s}, day: date, "
      "request: session,\n"
      "  labels: {click: clicked}, weights: {dwell: dwell}, request_features: {hour: {kind: id}},\n"
      "  candidate_features: {rank: {kind: real}}, event: {when: {column: shown, at_least: 1}, features: "
      "{kind: {column: "
      "why, kind: id}}}}\n"
      "events: {files: events.parquet, user: who, item: item, time: {column: ts, unit: s},\n"
      "  features: {kind: {column: what, kind: id}}}\n";
  CsvImportOptions options;
  options.mapping = directory_.file("shop.yaml");
  options.out = directory_.file("data");
  write_file(options.mapping, mapping);
  import_csv(options);
  const auto data = dump(Dataset::open(options.out));
  ASSERT_EQ(data.requests.size(), 1u);
  const auto& request = data.request(1, 86400000);
  EXPECT_EQ(request.day, "1970-01-05");
  ASSERT_EQ(request.candidates.size(), 2u);
  EXPECT_EQ(request.candidates[0].weights.at("dwell"), 9.5f);
  EXPECT_EQ(request.candidates[1].reals.at("rank"), 2);
  EXPECT_EQ(request.ids.at("hour"), 0);
  ASSERT_EQ(request.history.size(), 1u);
  EXPECT_EQ(request.history[0].ids.at("kind"), 4);
  // A column that is missing is said as of text, beside all that are there.
  std::string misspelt = mapping;
  misspelt.replace(misspelt.find("dwell: dwell"), 12, "dwell: mora");
  misspelt.erase(misspelt.find(" day: date,"), 11);
  write_file(options.mapping, misspelt);
  options.out = directory_.file("more");
  EXPECT_THAT(user_error([&] { import_csv(options); }), HasSubstr("no column 'mora' (nearest: 'more')"));
}

// The same table in each format. ORC knows no dictionaries and durations; Arrow's library writes no unsigned
// numbers there.
TEST_F(Parquet, OrcAndArrowFilesAreReadAlike) {
  const std::string script = directory_.file("write.py");
  write_file(
      script,
      str("import datetime, decimal, pyarrow as pa, pyarrow.parquet, pyarrow.orc, pyarrow.feather\n"
          "table = pa.table({'user': pa.array([7, None, 9], pa.int64()), 'item': ['a,\"b\"', 'c\\nd', "
          "'ORC'],\n"
          "  'price': [0.1, float('nan'), 2], 'click': [True, False, True], 'wide': ['x' * 99] * 3,\n"
          "  'time': pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5, 600000)] * 3, pa.timestamp('ns')),\n"
          "  'tags': [['x', 'y'], [], None], 'cost': [decimal.Decimal('1.20')] * 3,\n"
          "  'at': [{'shop': 5, 'city': 'Oslo'}, None, {'shop': None, 'city': None}],\n"
          "  'shown': [[{'id': 4, 'click': True}, {'id': None, 'click': False}], [], None]})\n"
          "long = pa.table({'n': range(300000), 'm': range(300000)})\n"
          "for name, of in (('', table), ('long.', long)):\n"
          "  pa.parquet.write_table(of, '",
          directory_.file("'"),
          " + name + 'parquet')\n"
          "  pa.orc.write_table(of, '",
          directory_.file("'"),
          " + name + 'orc', stripe_size=1 << 16)\n"
          "  pa.feather.write_feather(of, '",
          directory_.file("'"), " + name + 'feather')\n", "pa.orc.write_table(long, '",
          directory_.file("one_stripe.orc"), "')\n"));
  ASSERT_EQ(std::system(("python3 " + script).c_str()), 0);
  const auto rows = rows_of(directory_.file("parquet"));
  EXPECT_THAT(rows,
              ElementsAre("user;item;price;click;wide;time;tags;cost;at.shop;at.city;shown.id;shown.click;",
                          HasSubstr("7;a,\"b\";0.1;1;xxx"), testing::StartsWith(";c\nd;;0;"),
                          testing::EndsWith("x;2024-01-02 03:04:05.600000000;;1.20;;;;;")));
  for (const char* format : {"orc", "feather"}) {
    SCOPED_TRACE(format);
    EXPECT_EQ(rows_of(directory_.file(format)), rows);
    CsvOptions options;
    options.wanted = {"at.city", "user"};
    CsvReader chosen(directory_.file(format), options);
    EXPECT_THAT(chosen.columns(), ElementsAre("user", "at.city"));
    ASSERT_TRUE(chosen.next());
    EXPECT_EQ(chosen.text(1), "Oslo");
    options.wanted = {"shown.click"};
    CsvReader clicks(directory_.file(format), options);
    EXPECT_THAT(clicks.columns(), ElementsAre("shown.click"));
    ASSERT_TRUE(clicks.next());
    EXPECT_EQ(clicks.text(0), "1|0");

    CsvReader reader(directory_.file(str("long.", format)));
    int64_t n = 0;
    double early = 0;
    for (; reader.next(); ++n) {
      if (n == 100000) early = reader.fraction();
      if (reader.integer(0) != n || reader.integer(1) != n) ADD_FAILURE() << n;
    }
    EXPECT_EQ(n, 300000);
    EXPECT_GT(early, 0.1);
    EXPECT_LT(early, 0.9);
    EXPECT_EQ(reader.fraction(), 1);

    const std::string whole = read_file(directory_.file(str("long.", format)));
    std::string damaged = whole;
    for (size_t i = 1000; i < 60000; ++i) damaged[i] = '\xFF';
    const std::string path = directory_.file("damaged");
    write_file(path, damaged);
    EXPECT_THAT(user_error([&] { rows_of(path); }),
                HasSubstr(str(path, ": found ", std::string(format) == "orc" ? "ORC" : "Arrow",
                              ", which cannot be read: ")));
  }
  CsvReader reader(directory_.file("one_stripe.orc"));
  int64_t n = 0;
  while (reader.next() && reader.integer(0) == n) ++n;
  EXPECT_EQ(n, 300000);
}

TEST(ParquetWithout, ATextMayBeginAsAnOrcFileDoes) {
  TempDirectory directory;
  const std::string path = directory.file("log.csv");
  write_file(path, "ORCID,item\n1,2\n");
  EXPECT_THAT(CsvReader(path).columns(), ElementsAre("ORCID", "item"));
  write_file(path, "ORC");
  EXPECT_THAT(CsvReader(path).columns(), ElementsAre("ORC"));
}

TEST(ParquetWithout, PyarrowIsTold) {
  TempDirectory directory;
  const std::string path = directory.file("log.parquet");
  write_file(path, "PAR1 and more");
  const auto refused_with = [&](const std::string& python) {
    const std::string search = std::getenv("PATH");
    if (!python.empty()) {
      write_file(directory.file("python3"), python);
      EXPECT_EQ(std::system(("chmod +x " + directory.file("python3")).c_str()), 0);
    }
    setenv("PATH", directory.path().c_str(), 1);
    const std::string error = user_error([&] { CsvReader{path}; });
    setenv("PATH", search.c_str(), 1);
    return error;
  };
  EXPECT_EQ(refused_with(""), path +
                                  ": found Parquet data, and the program python3 cannot be started: No such "
                                  "file or directory; install it, and pyarrow");
  // An interpreter that sees no packages at all.
  EXPECT_EQ(refused_with("#!/bin/sh\nexec /usr/bin/env -i PATH=/usr/bin:/bin python3 -I -S \"$@\"\n"),
            path + ": found Parquet, which cannot be read: No module named 'pyarrow'; pip install pyarrow");
}

}  // namespace
}  // namespace lime
