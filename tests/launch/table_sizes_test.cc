#include "launch/table_sizes.h"

#include <gtest/gtest.h>

#include "io/dataset_writer.h"
#include "parallel/process_group.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

TEST(TableSizesTest, SaysWhatTheDatasetKnows) {
  TempDirectory temp;
  DatasetSchema schema;
  schema.name = "log";
  schema.labels = {"click"};
  schema.columns = {{"author", ColumnGroup::item, ColumnKind::id},
                    {"city", ColumnGroup::user, ColumnKind::id}};
  WriterOptions options;
  options.parts = 1;
  DatasetWriter writer(temp.file("data"), schema, options);
  for (int64_t user = 0; user < 1200; ++user) {
    writer.add_user(user, {{user % 9}, {}, {}});
    writer.add_request({user, 1000, "1970-01-01", {}, {{user, {}, {1.0f}, {}}}});
  }
  for (int64_t item = 0; item < 5; ++item) writer.add_item(item, {{item}, {}, {}});
  const Dataset dataset = writer.finish();

  Config config;
  config.features.history = {"item", "author", "age"};
  config.features.candidate = {"item"};
  config.features.user = {"user", "city"};
  std::vector<TableConfig> tables;
  for (const auto& [name, capacity] : std::vector<std::pair<std::string, int64_t>>{
           {"user", 0}, {"item", 0}, {"author", 700}, {"age", 0}, {"city", 0}}) {
    TableConfig table;
    table.name = name;
    table.dim = 8;
    table.capacity = capacity;
    table.optimizer = SparseOptimizer::adagrad;
    tables.push_back(table);
  }
  Context ctx{Device{}};
  const auto alone = make_self_communicator();
  const auto said = [&] { return table_sizes(config, dataset, EmbeddingCollection(ctx, *alone, tables, 1)); };
  EXPECT_EQ(
      said(),
      "tables: at most 186 kB for user (1,200 rows), author (700 rows), age (32 rows), item (about 5 rows); "
      "96 bytes for each id that is met: city");
  tables[0].capacity = 1000;
  tables[0].dim = 1 << 16;
  config.embeddings.shared["city"] = "item";  // which then has other ids than items'
  tables.pop_back();
  EXPECT_EQ(said(),
            "tables: at most 524 MB for user (1,000 rows), author (700 rows), age (32 rows); "
            "96 bytes for each id that is met: item");
  tables[1].admit_after = 4;
  EXPECT_EQ(said(),
            "tables: at most 524 MB for user (1,000 rows), author (700 rows), age (32 rows); "
            "96 bytes for each id that is met: item (in 4 steps; 32 until then)");
  tables[1].admit_after = 1;
  tables[0].type = DType::bf16;
  EXPECT_EQ(said(),
            "tables: at most 393 MB for user (1,000 rows), author (700 rows), age (32 rows); "
            "96 bytes for each id that is met: item");
  tables[0].type = DType::f32;
  tables[0].dim = 1 << 19;
  tables[1].dim = 64;
  const auto add = [&](const char* name, TableConfig table) {
    table.name = name;
    tables.push_back(table);
  };
  for (const char* name : {"brand", "shop", "street", "tag", "town"}) add(name, tables[1]);
  for (const char* name : {"a", "b"}) add(name, tables[2]);
  add("other", tables[3]);
  EXPECT_EQ(said(),
            "tables: at most 4.2 GB for user (1,000 rows), author (700 rows), a (700 rows), b (700 rows) "
            "and 1 smaller; "
            "96 to 544 bytes for each id that is met: item, brand, shop, street and 3 more");
}

}  // namespace
}  // namespace lime
