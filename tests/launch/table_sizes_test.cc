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
      "tables: user at most 1,200 rows of 96 bytes (0.0 GB), item about 5 rows of 96 bytes (0.0 GB), "
      "author at most 700 rows of 96 bytes (0.0 GB), age at most 32 rows of 96 bytes (0.0 GB); a row for "
      "each id that is met, in bytes: city of 96");
  tables[0].capacity = 1000;
  tables[0].dim = 1 << 16;
  config.embeddings.shared["city"] = "item";  // which then has other ids than items'
  tables.pop_back();
  EXPECT_EQ(said(),
            "tables: user at most 1,000 rows of 524320 bytes (0.5 GB), author at most 700 rows of 96 bytes "
            "(0.0 GB), "
            "age at most 32 rows of 96 bytes (0.0 GB); a row for each id that is met, in bytes: item of 96");
}

}  // namespace
}  // namespace lime
