#include "tests/launch/small_run.h"

#include "io/dataset_writer.h"
#include "launch/batch_source.h"
#include "launch/train_step.h"
#include "runtime/philox.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

constexpr int64_t users = 60, items = 40;
constexpr int64_t day_ms = 86400000;
constexpr int64_t first_day_ms = 1704067200000;  // 2024-01-01 UTC

DatasetSchema small_schema() {
  DatasetSchema schema;
  schema.name = "small";
  schema.source = "test";
  schema.columns = {{"action", ColumnGroup::event, ColumnKind::id},
                    {"hour", ColumnGroup::request, ColumnKind::id},
                    {"topics", ColumnGroup::item, ColumnKind::ids},
                    {"price", ColumnGroup::item, ColumnKind::real}};
  schema.labels = {"click", "like"};
  schema.weights = {"watch_time", "shown"};
  return schema;
}

}  // namespace

Dataset write_small_dataset(const std::string& directory) {
  WriterOptions options;
  options.parts = 4;
  DatasetWriter writer(directory, small_schema(), options);
  const Philox random(7, stream_of("small dataset"));
  uint64_t draw = 0;
  for (int64_t item = 0; item < items; ++item) {
    RowValues values;
    values.lists = {{item % 3, 10 + item % 4}};
    values.reals = {static_cast<float>(random.uniform(draw++))};
    writer.add_item(item, values);
  }
  for (int64_t user = 0; user < users; ++user) {
    const auto events = static_cast<int64_t>(random.below(12, draw++));
    for (int64_t e = 0; e < events; ++e)
      writer.add_event(
          {user,
           first_day_ms - day_ms + static_cast<int64_t>(random.below(uint64_t{3 * day_ms}, draw++)),
           static_cast<int64_t>(random.below(items, draw++)),
           {{static_cast<int64_t>(random.below(2, draw++))}, {}, {}}});
    for (int64_t day = 0; day < 3; ++day) {
      const auto requests = static_cast<int64_t>(random.below(4, draw++));
      for (int64_t r = 0; r < requests; ++r) {
        RequestRow row;
        row.user = user;
        row.time_ms =
            first_day_ms + day * day_ms + static_cast<int64_t>(random.below(uint64_t{day_ms}, draw++));
        row.day = str("2024-01-0", day + 1);
        row.values.ids = {row.time_ms / 3600000 % 24};
        const auto candidates = static_cast<int64_t>(random.below(5, draw++));
        for (int64_t c = 0; c < candidates; ++c) {
          RequestRow::Candidate candidate;
          candidate.item = static_cast<int64_t>(random.below(items, draw++));
          const bool click = random.uniform(draw++) < (candidate.item % 3 == user % 3 ? 0.7 : 0.3);
          const bool like = click && random.uniform(draw++) < 0.5;
          candidate.labels = {click ? 1.0f : 0.0f, like ? 1.0f : 0.0f};
          candidate.weights = {click ? 1.0f + static_cast<float>(random.below(30, draw++)) : 0.0f,
                               random.uniform(draw++) < 0.8 ? 1.0f : 0.0f};
          row.candidates.push_back(candidate);
        }
        writer.add_request(row);
      }
    }
  }
  return writer.finish();
}

Dataset shared_small_dataset(const std::string& directory) {
  if (test_group().rank() == 0) write_small_dataset(directory);
  test_group().world().barrier()->wait();
  return Dataset::open(directory);
}

Config small_config(const std::string& dataset, const Overrides& overrides) {
  const std::string text = str("data:\n  path: ", dataset, R"(
  train: 2024-01-01..2024-01-02
  max_history: 6
features:
  history: [item, topics, action, age]
  candidate: [item, topics, price]
  user: [user, hour]
embeddings:
  dim: 4
  tables:
    user:
      optimizer: adam
    item:
      dim: 6
      optimizer: adagrad
  shared:
    age: action
model:
  name: lime_xor
  width: 8
  heads: 2
  links: 4
  blocks: 1
  head_hidden: 8
  max_positions: 8
tasks:
  - label: click
  - label: like
    sample_weight: shown
train:
  batch_requests: 32
  micro_batches: 4
eval:
  batch_requests: 24
  watch_time: watch_time
)");
  return parse_config(text, "small.yaml", overrides);
}

SmallRun::SmallRun(Communicator& comm, const Config& c, const Dataset& dataset, Device device)
    : config(c),
      ctx(device),
      network(ctx, comm, config, dataset.schema()),
      adamw(ctx, network.parameters(), config.train.adamw) {}

void SmallRun::train(ProcessGroup& group, const Dataset& dataset, int steps) {
  BatchSource source(group, dataset, config, state.epoch, state.positions);
  TrainStep step(group, ctx, config, network, adamw);
  for (int i = 0; i < steps; ++i) {
    const auto batch = source.next(false);
    LIME_CHECK(batch, "the data ended");
    ++state.step;
    step.run(*batch, nullptr, state.step, 1e-2, 1.0);
    LIME_CHECK(step.outcomes().back().finite);
    state.epoch = batch->epoch;
    state.positions = batch->local.next;
  }
}

TrainState load(Communicator& comm, const std::string& checkpoint, SmallRun& run) {
  return load_checkpoint(comm, {comm, checkpoint}, run.config, run.network, &run.adamw);
}

std::string newest_good(Communicator& comm, const std::string& run) {
  const auto newest = newest_good_checkpoint(comm, run);
  return newest ? newest->directory() : "none";
}

}  // namespace lime
