#include "tests/io/random_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace lime {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }
  bool chance(int64_t percent) { return below(100) < percent; }
  float real() { return static_cast<float>(below(1000)) / 8.0f; }
  std::vector<int64_t> list() {
    std::vector<int64_t> values(static_cast<size_t>(below(4)));
    for (auto& value : values) value = below(50);
    return values;
  }
  RowValues row() { return {{below(20) - 1}, {list()}, {real()}}; }

 private:
  std::mt19937_64 engine_;
};

constexpr int64_t day_ms = 86'400'000;
constexpr int64_t start_ms = 1'650'988'800'000;  // 2022-04-27 at +08:00

template <typename T>
std::vector<T> slice(const std::vector<T>& values, int64_t begin, int64_t end) {
  return {values.begin() + begin, values.begin() + end};
}

// The values of row `row` of an id column.
std::vector<int64_t> values_of(const IdColumn& column, int64_t row) {
  if (column.offsets.empty()) return {column.ids.at(static_cast<size_t>(row))};
  return slice(column.ids, column.offsets.at(static_cast<size_t>(row)),
               column.offsets.at(static_cast<size_t>(row) + 1));
}

const RowValues& row_or_missing(const std::map<int64_t, RowValues>& rows, int64_t id) {
  static const RowValues missing{{-1}, {{}}, {0.0f}};
  const auto found = rows.find(id);
  return found == rows.end() ? missing : found->second;
}

}  // namespace

RandomLog make_random_log(uint64_t seed, const RandomLogSize& size) {
  using enum ColumnGroup;
  using enum ColumnKind;
  Dice dice(seed);
  RandomLog log;
  log.schema.name = "random";
  log.schema.source = "a test, \"quoted\": yes";
  log.schema.time_zone = "+08:00";
  log.schema.columns = {{"age_group", user, id}, {"interests", user, ids},  {"score", user, real},
                        {"action", event, id},   {"tags", event, ids},      {"dwell", event, real},
                        {"rid", request, id},    {"ctx", request, ids},     {"hour", request, real},
                        {"tab", candidate, id},  {"shown", candidate, ids}, {"bid", candidate, real},
                        {"author", item, id},    {"topics", item, ids},     {"price", item, real}};
  log.schema.labels = {"click", "like"};
  log.schema.weights = {"watch", "trust"};
  log.schema.facts = {{"bayes_auc", 0.8125}, {"one third", 1.0 / 3.0}};

  const auto user_id = [&](int64_t k) { return 1000 + 7 * k; };
  for (int64_t k = 0; k < size.users; ++k)
    if (dice.chance(80)) log.users[user_id(k)] = dice.row();
  for (int64_t item = 0; item < 60; ++item)
    if (dice.chance(75)) log.items[item] = dice.row();
  const auto time = [&] { return start_ms + dice.below(size.days * day_ms / 10'000) * 10'000; };
  for (int64_t k = 0; k < size.events; ++k)  // the last tenth of the users have none; the first have many
    log.events.push_back({user_id(dice.below(dice.below(size.users * 9 / 10) + 1)), time() - day_ms,
                          dice.chance(3) ? -1 : dice.below(60), dice.row()});
  for (int64_t k = 0; k < size.requests; ++k) {
    RequestRow request;
    request.user = user_id(dice.below(size.users));
    const bool tied = dice.chance(30);
    request.time_ms =
        tied ? log.events[static_cast<size_t>(dice.below(size.events))].time_ms + day_ms : time();
    if (tied)
      log.events.push_back(
          {request.user, request.time_ms, dice.below(60), dice.row()});  // not in the history
    const int64_t day = (request.time_ms - start_ms) / day_ms;
    request.day = format_day(parse_day("2022-04-27") + (dice.chance(2) ? dice.below(size.days) : day));
    request.values = dice.row();
    request.values.ids[0] = k;
    for (int64_t c = dice.below(4); c > 0; --c)
      request.candidates.push_back({dice.below(60),
                                    dice.row(),
                                    {dice.chance(30) ? 1.0f : 0.0f, dice.chance(10) ? 1.0f : 0.25f},
                                    {dice.real(), dice.real()}});
    log.requests.push_back(std::move(request));
  }
  return log;
}

WriterOptions small_writer(int64_t parts) {
  WriterOptions options;
  options.parts = parts;
  return options;
}

Dataset write_log(const RandomLog& log, const std::string& directory, const WriterOptions& options) {
  DatasetWriter writer(directory, log.schema, options);
  for (const auto& event : log.events) writer.add_event(event);
  for (const auto& request : log.requests) writer.add_request(request);
  for (const auto& [user, row] : log.users) writer.add_user(user, row);
  for (const auto& [item, row] : log.items) writer.add_item(item, row);
  return writer.finish();
}

BatchSpec full_spec() {
  BatchSpec spec;
  spec.history = {"item", "author", "topics", "price", "action", "tags", "dwell", "age"};
  spec.candidate = {"bid", "item", "shown", "author", "price", "topics", "tab"};
  spec.user = {"rid", "user", "interests", "score", "age_group", "hour", "ctx"};
  spec.age_buckets = 16;
  spec.tasks = {"like", "click"};
  spec.task_weights = {0.5, 2.0};
  spec.sample_weights = {"trust", ""};
  spec.metric_weight = "watch";
  return spec;
}

ReaderOptions reader_options(const Dataset& dataset, int64_t shards) {
  ReaderOptions options;
  for (const auto& day : dataset.days()) options.days.push_back(day.day);
  options.spec = full_spec();
  options.virtual_shards = shards;
  options.requests = 16;
  options.shuffle_window = 32;
  return options;
}

std::vector<const EventRow*> history_of(const RandomLog& log, int64_t user, int64_t before_ms) {
  std::vector<const EventRow*> history;
  for (const auto& event : log.events)
    if (event.user == user && event.time_ms < before_ms) history.push_back(&event);
  std::stable_sort(history.begin(), history.end(), [](auto* a, auto* b) { return a->time_ms < b->time_ms; });
  return history;
}

int64_t rid_of(const MicroBatch& batch, int64_t r) {
  return batch.user.id_columns[0].ids.at(static_cast<size_t>(r));
}

int64_t expect_request(const RandomLog& log, const MicroBatch& batch, int64_t r,
                       const std::vector<const EventRow*>& history, float weight_of_negatives) {
  const auto k = static_cast<size_t>(r);
  const int64_t rid = rid_of(batch, r);
  SCOPED_TRACE(testing::Message() << "shard " << batch.shard << ", request " << r << ", rid " << rid);
  const RequestRow& request = log.requests.at(static_cast<size_t>(rid));
  using List = std::vector<int64_t>;

  const RowValues& user = row_or_missing(log.users, request.user);
  const auto& u = batch.user;
  EXPECT_EQ(batch.user_id[k], request.user);
  EXPECT_EQ(batch.time_ms[k], request.time_ms);
  EXPECT_EQ(values_of(u.id_columns[1], r), List{request.user});
  EXPECT_EQ(values_of(u.id_columns[2], r), user.lists[0]);
  EXPECT_EQ(values_of(u.id_columns[3], r), List{user.ids[0]});
  EXPECT_EQ(values_of(u.id_columns[4], r), request.values.lists[0]);
  EXPECT_EQ(u.real.at(2 * k), user.reals[0]);
  EXPECT_EQ(u.real.at(2 * k + 1), request.values.reals[0]);

  const auto& h = batch.history;
  const int64_t first = batch.history_offsets[k], count = batch.history_offsets[k + 1] - first;
  EXPECT_EQ(count, static_cast<int64_t>(history.size()));
  for (int64_t i = 0; i < std::min(count, static_cast<int64_t>(history.size())); ++i) {
    const EventRow& event = *history[static_cast<size_t>(i)];
    const RowValues& item = row_or_missing(log.items, event.item);
    const int64_t row = first + i, seconds = (request.time_ms - event.time_ms) / 1000;
    const int64_t age = std::min<int64_t>(
        static_cast<int64_t>(std::floor(std::log2(1.0 + static_cast<double>(seconds)))), 15);
    EXPECT_EQ(values_of(h.id_columns[0], row), List{event.item});
    EXPECT_EQ(values_of(h.id_columns[1], row), List{item.ids[0]});
    EXPECT_EQ(values_of(h.id_columns[2], row), item.lists[0]);
    EXPECT_EQ(values_of(h.id_columns[3], row), List{event.values.ids[0]});
    EXPECT_EQ(values_of(h.id_columns[4], row), event.values.lists[0]);
    EXPECT_EQ(values_of(h.id_columns[5], row), List{age});
    EXPECT_EQ(h.real.at(static_cast<size_t>(2 * row)), item.reals[0]);
    EXPECT_EQ(h.real.at(static_cast<size_t>(2 * row + 1)), event.values.reals[0]);
  }

  const auto& c = batch.candidate;
  const int64_t begin = batch.candidate_offsets[k], end = batch.candidate_offsets[k + 1];
  EXPECT_EQ(end - begin, static_cast<int64_t>(request.candidates.size()));
  for (int64_t row = begin; row < std::min(end, begin + static_cast<int64_t>(request.candidates.size()));
       ++row) {
    const auto& shown = request.candidates[static_cast<size_t>(row - begin)];
    const RowValues& item = row_or_missing(log.items, shown.item);
    const auto n = static_cast<size_t>(row);
    EXPECT_EQ(batch.item.at(n), shown.item);
    EXPECT_EQ(values_of(c.id_columns[0], row), List{shown.item});
    EXPECT_EQ(values_of(c.id_columns[1], row), shown.values.lists[0]);
    EXPECT_EQ(values_of(c.id_columns[2], row), List{item.ids[0]});
    EXPECT_EQ(values_of(c.id_columns[3], row), item.lists[0]);
    EXPECT_EQ(values_of(c.id_columns[4], row), List{shown.values.ids[0]});
    EXPECT_EQ(c.real.at(2 * n), shown.values.reals[0]);
    EXPECT_EQ(c.real.at(2 * n + 1), item.reals[0]);
    EXPECT_EQ(batch.labels.at(2 * n), shown.labels[1]);
    EXPECT_EQ(batch.labels.at(2 * n + 1), shown.labels[0]);
    const bool negative = shown.labels[0] == 0 && shown.labels[1] == 0;
    const float times = negative ? weight_of_negatives : 1;
    EXPECT_EQ(batch.weights.at(2 * n), 0.5f * shown.weights[1] * times);
    EXPECT_EQ(batch.weights.at(2 * n + 1), 2.0f * times);
    EXPECT_EQ(batch.metric_weight.at(n), shown.weights[0]);
  }
  return rid;
}

std::vector<Batch> read_all(BatchReader& reader) {
  std::vector<Batch> batches;
  for (;;) {
    batches.push_back(reader.next());
    if (batches.back().ended()) return batches;
  }
}

std::vector<std::vector<int64_t>> rids_of_shard(const std::vector<Batch>& batches, int64_t shard) {
  std::vector<std::vector<int64_t>> rids;
  for (const auto& batch : batches)
    for (const auto& micro : batch.micro) {
      if (micro.shard != shard || micro.empty()) continue;
      rids.push_back(micro.user.id_columns[0].ids);
    }
  return rids;
}

}  // namespace lime
