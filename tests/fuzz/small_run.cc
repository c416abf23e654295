#include "tests/fuzz/small_run.h"

#include <filesystem>
#include <fstream>

#include "io/dataset_writer.h"
#include "model/checkpoint.h"
#include "model/run_choice.h"

namespace lime::fuzz {
namespace {

constexpr int64_t day_ms = 86'400'000, first_ms = 1'704'067'200'000;  // 2024-01-01

Dataset write_dataset(const std::string& directory) {
  DatasetSchema schema;
  schema.name = "small", schema.source = "fuzz";
  schema.columns = {
      {"action", ColumnGroup::event, ColumnKind::id},   {"dwell", ColumnGroup::event, ColumnKind::real},
      {"speed", ColumnGroup::event, ColumnKind::real},  {"hour", ColumnGroup::request, ColumnKind::id},
      {"mood", ColumnGroup::request, ColumnKind::real}, {"topics", ColumnGroup::item, ColumnKind::ids},
      {"price", ColumnGroup::item, ColumnKind::real}};
  schema.labels = {"click", "like"};
  WriterOptions options;
  options.parts = 1;
  DatasetWriter writer(directory, schema, options);
  for (int64_t item = 0; item < small_run_items; ++item)
    writer.add_item(item, {{}, {{item % 3, 10 + item}}, {static_cast<float>(item)}});
  for (int64_t user = 0; user < 3; ++user) {
    writer.add_event({user, first_ms - day_ms, user, {{1}, {}, {0.5F, 2.0F}}});
    writer.add_request({user, first_ms + user, "2024-01-01", {{7}, {}, {0.25F}}, {{user, {}, {1, 0}, {}}}});
  }
  return writer.finish();
}

constexpr const char* settings = R"(
  train: 2024-01-01
  max_history: 6
features:
  history: [item, topics, action, dwell, speed, age]
  candidate: [item, topics, price]
  user: [user, hour, mood]
embeddings:
  dim: 4
  tables:
    user: {optimizer: adam, admit_after: 3}
    item: {type: bf16, capacity: 100}
  shared: {age: action}
model: {name: lime_xor, width: 8, heads: 2, links: 4, blocks: 1, head_hidden: 8, max_positions: 8}
tasks: [click, like]
train: {micro_batches: 1}
)";

// A row for each of the first ids, and ids that wait where the table has such.
void fill(EmbeddingCollection& tables) {
  for (size_t t = 0; t < tables.tables().size(); ++t) {
    const TableConfig& config = tables.tables()[t];
    TableRows rows;
    for (int64_t id = 0; id < 8; ++id) rows.ids.push_back(id);
    rows.values.assign(rows.ids.size() * static_cast<size_t>(config.dim), 0.125F);
    rows.state.assign(rows.ids.size() * static_cast<size_t>(tables.state_width(static_cast<int64_t>(t))),
                      1.0F);
    if (config.admit_after > 1) rows.waiting = {{50, 51}, {1, 2}, {0, 0}};
    tables.load_rows(static_cast<int64_t>(t), rows);
  }
}

}  // namespace

SmallRun::SmallRun(const std::string& run)
    : directory(run),
      config(parse_config("data:\n  path: " + run + "/data" + settings, "small.yaml", {})),
      dataset((std::filesystem::create_directories(run), write_dataset(run + "/data"))) {
  const auto alone = make_self_communicator();
  Context ctx;
  Network network(ctx, *alone, config, dataset.schema());
  AdamW adamw(ctx, network.parameters(), config.train.adamw);
  fill(network.tables());
  TrainState state;
  state.step = 7, state.epoch = 1;
  std::ofstream(config_path(run)) << to_yaml(config);
  checkpoint = save_checkpoint(*alone, run, config, network, adamw, state, 0);
}

}  // namespace lime::fuzz
