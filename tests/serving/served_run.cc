#include "tests/serving/served_run.h"

#include <filesystem>

#include "io/dataset_writer.h"
#include "serving/build_item_cache.h"

namespace lime {

ServedRun::ServedRun(const Overrides& overrides)
    : dataset_(write_small_dataset(temp_.file("data"))),
      config_(small_config(temp_.file("data"), overrides)),
      run_(std::make_unique<SmallRun>(test_group().world(), config_, dataset_)) {
  std::filesystem::create_directories(path());
  write_file(config_path(path()), to_yaml(config_));
}

std::string ServedRun::train(int steps) {
  run_->train(test_group(), dataset_, steps);
  return std::filesystem::path(save_checkpoint(test_group().world(), path(), config_, run_->network,
                                               run_->adamw, run_->state, 0))
      .filename()
      .string();
}

std::string ServedRun::save() {
  ++run_->state.step;
  return train(0);
}

std::string ServedRun::cache(const std::string& name, RowType type, const std::string& items) {
  const ServedModel model({path(), "", "", {}});
  build_item_cache(model, items_to_cache(model, items), items, type, file(name));
  return file(name);
}

ScorerOptions ServedRun::options(const std::string& cache, MissingItems missing) const {
  ScorerOptions options;
  options.run = path(), options.cache = cache, options.missing = missing;
  return options;
}

void ServedRun::each_request(HistoryMode mode, const Visit& visit) {
  score_days({test_group().world(), run_->ctx, run_->network, config_, dataset_}, {"2024-01-03"}, mode,
             [&](const MicroBatch& batch, const ConstView& logits) {
               for (int64_t r = 0; r < batch.requests(); ++r) {
                 const auto i = static_cast<size_t>(r);
                 if (batch.candidate_offsets[i] < batch.candidate_offsets[i + 1])
                   visit(batch, r,
                         logits.slice_rows(batch.candidate_offsets[i], batch.candidate_offsets[i + 1]));
               }
             },
             {});
}

void write_items(const ServedRun& run, const std::string& directory, std::span<const float> prices) {
  DatasetWriter writer(directory, run.dataset().schema(), {});
  for (size_t i = 0; i < prices.size(); ++i) {
    const auto item = static_cast<int64_t>(i);
    RowValues values;
    values.lists = {{item % 3, 10 + item % 4}};
    values.reals = {prices[i]};
    writer.add_item(item, values);
  }
  RequestRow request;
  request.user = 1, request.time_ms = 1704067200000, request.day = "2024-01-01";
  request.values.ids = {0};
  writer.add_request(request);
  writer.finish();
}

std::vector<int64_t> items_of(const MicroBatch& batch, int64_t request) {
  const auto r = static_cast<size_t>(request);
  return {batch.item.begin() + batch.candidate_offsets[r],
          batch.item.begin() + batch.candidate_offsets[r + 1]};
}

}  // namespace lime
