// Tables of users and items beside a log: how many of the log they have, and rows of one id.
#include <gtest/gtest.h>

#include "io/import_csv.h"
#include "io/import_values.h"
#include "tests/io/import_csv_fixture.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

constexpr const char* log_mapping =
    "impressions: {files: log.csv, user: user, item: item, time: {column: ts, unit: s}, labels: {click: "
    "clicked}}\n";
constexpr const char* tables_mapping =
    "users: {files: users*.csv, user: user, features: {age: {kind: real}}}\n"
    "items: {files: items.csv, item: item, features: {tag: {kind: id}}}\n";

class ImportTables : public CsvImport {
 protected:
  ImportTables() {
    options_.writer.overwrite = true;
    write("mapping.yaml", str(log_mapping, tables_mapping));
    write("log.csv", "user,item,ts,clicked\nann,a,100,1\n1,b,100,1\n1,a,200,0\n1,c,300,0\n");
    write("users_a.csv", "user,age\nann,3\n1,4\n");
    write("items.csv", "item,tag\na,x\nb,y\n");
  }
  FeatureCoverage coverage() { return import_csv(options_).coverage; }
};

TEST_F(ImportTables, HowManyHaveARow) {
  EXPECT_EQ(coverage().users, 1.0);
  EXPECT_DOUBLE_EQ(coverage().items.value(), 2.0 / 3);  // a and b of a, b and c
  write("users_a.csv", "user,age\nAnn,3\n1,4\n");
  EXPECT_EQ(coverage().users, 0.5);
  write("mapping.yaml", log_mapping);
  EXPECT_EQ(coverage().users, std::nullopt);
  EXPECT_EQ(coverage().items, std::nullopt);
}

TEST_F(ImportTables, RowsOfOneIdAreNamed) {
  write("users_b.csv", "user,age\nbob,3\nann,5\n");
  EXPECT_EQ(failure(), str(directory_.file("users_b.csv"), ":3: user ", hashed_id("ann"),
                           ": given twice (first ", directory_.file("users_a.csv"), ":2)"));
  write("users_b.csv", "user,age\nbob,3\n");
  write("items.csv", "item,tag\n2,x\n\n7,y\n2.0,z\n");
  EXPECT_EQ(failure(), str(directory_.file("items.csv"), ":5: item 2: given twice (first ",
                           directory_.file("items.csv"), ":2)"));
}

}  // namespace
}  // namespace lime
