// The files that patterns and directories stand for, and the columns that directories name.
#include "io/log_files.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "io/csv_reader.h"
#include "tests/io/import_csv_fixture.h"
#include "tests/io/import_dump.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> columns_in(const std::string& path) {
  std::vector<std::string> columns;
  for (const auto& column : columns_of_path(path)) columns.push_back(column.name + ": " + column.value);
  return columns;
}

TEST(ColumnsOfPath, AreItsDirectoriesWithAnEqualsSign) {
  EXPECT_THAT(columns_in("/logs/dt=2022-05-08/hour=07/part=0.csv"),
              ElementsAre("dt: 2022-05-08", "hour: 07"));
  EXPECT_THAT(columns_in("a=1/=2/b/c=/d=x=y/f"), ElementsAre("a: 1", "c: ", "d: x=y"));
  EXPECT_THAT(columns_in("a=1/b=2/a=3/f"), ElementsAre("b: 2", "a: 3"));
  EXPECT_THAT(columns_in("plain.csv"), ElementsAre());
}

TEST(ColumnsOfPath, AreTakenFromTheirEscapes) {
  EXPECT_THAT(columns_in("at=07%3A30%2f/city%20name=__HIVE_DEFAULT_PARTITION__/f"),
              ElementsAre("at: 07:30/", "city name: "));
  EXPECT_THAT(columns_in("a=100%/b=%zz/c=%4/f"), ElementsAre("a: 100%", "b: %zz", "c: %4"));
}

class LogFiles : public CsvImport {
 protected:
  // A file of a directory that is made for it.
  std::string write_below(const std::string& name, const std::string& text) {
    const std::string path = directory_.file(name);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_file(path, text);
    return path;
  }
};

TEST_F(LogFiles, ADirectoryStandsForTheFilesBelowIt) {
  const auto second = write_below("log/dt=2/part-0", "x\n"), first = write_below("log/dt=1/part-1", "x\n");
  for (const char* other :
       {"log/_SUCCESS", "log/dt=1/.part-1.crc", "log/_delta_log/0.json", "log/.tmp/part-2"})
    write_below(other, "x\n");
  const auto files = ElementsAre(first, second);
  EXPECT_THAT(expand_patterns({directory_.file("log")}), files);
  EXPECT_THAT(expand_patterns({directory_.file("l*"), first}), files);
  EXPECT_THAT(expand_patterns({directory_.file("log/dt=2")}), ElementsAre(second));
  EXPECT_THAT(expand_patterns({directory_.file("log/_delta_log/0.json")}), testing::SizeIs(1));
  EXPECT_THAT(user_error([&] { expand_patterns({directory_.file("log/.tm[p]/none")}); }),
              HasSubstr("log/.tm[p]/none: found no file of this name or pattern"));
  std::filesystem::create_directories(directory_.file("empty/_temporary"));
  EXPECT_THAT(user_error([&] { expand_patterns({directory_.file("empty")}); }),
              HasSubstr("/empty: found a directory without files"));
}

TEST_F(LogFiles, DirectoriesAreColumnsAfterTheFilesOwn) {
  CsvReader reader(write_below("dt=2022-05-08/user=9/log.csv", "user,item\n1,2\n3\n4,5\n"));
  EXPECT_THAT(reader.columns(), ElementsAre("user", "item", "dt"));  // the file's own user
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.text(reader.column("dt")), "2022-05-08");
  EXPECT_EQ(reader.integer(reader.column("user")), 1);
  EXPECT_THAT(user_error([&] { reader.next(); }), HasSubstr("found 1 fields, expected 2 (user ... item)"));
  ASSERT_TRUE(reader.next());
  EXPECT_THAT(user_error([&] { reader.integer(2); }),
              HasSubstr("log.csv:4:dt: found '2022-05-08', expected an integer"));
  EXPECT_THAT(user_error([&] { reader.column("date"); }), HasSubstr("found user, item, dt"));
}

TEST_F(LogFiles, ALogIsImportedByItsDirectory) {
  write("mapping.yaml",
        "impressions: {files: log, user: user, item: item, time: {column: ts, unit: s}, day: dt,\n"
        "  labels: {click: click}, request_features: {city: {kind: id}}}\n");
  write_below("log/dt=2024-01-02/city=7/part-0.csv", "user,item,ts,click\n1,10,1704153600,1\n");
  write_below("log/dt=2024-01-03/city=__HIVE_DEFAULT_PARTITION__/part-0.csv",
              "user,item,ts,click\n1,11,1704153601,0\n");
  write_below("log/_SUCCESS", "");
  import_csv(options_);
  const auto data = dump(Dataset::open(options_.out));
  EXPECT_EQ(data.requests.size(), 2u);
  EXPECT_EQ(data.request(1, 1704153600000).day, "2024-01-02");
  EXPECT_EQ(data.request(1, 1704153600000).ids.at("city"), 7);
  EXPECT_EQ(data.request(1, 1704153601000).day, "2024-01-03");  // by its directory, not by its time
  EXPECT_EQ(data.request(1, 1704153601000).ids.at("city"), -1);
}

}  // namespace
}  // namespace lime
