// Caches that were right once: of another checkpoint, or of items that have other features now.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "io/hdf5_file.h"
#include "model/best_record.h"
#include "tests/serving/served_run.h"

namespace lime {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(StaleCache, OfAnotherCheckpointIsRefused) {
  ServedRun run;
  const std::string first = run.train(1), cache = run.cache("cache.h5"), second = run.train(1);
  EXPECT_THAT(user_error([&] { Scorer(run.options(cache)); }),
              AllOf(HasSubstr("cache.h5: was built from " + first), HasSubstr("checkpoints/" + second),
                    HasSubstr("build it again")));
  ScorerOptions options = run.options(cache);
  options.checkpoint = first;
  EXPECT_EQ(Scorer(options).checkpoint(), first);
  options.checkpoint = "step-000000099";
  EXPECT_THAT(user_error([&] { Scorer{options}; }),
              HasSubstr("found step-000000099, expected best, newest or one of"));
  // A run that keeps its best checkpoint is served from that one.
  write_best(run.path(), {first, "click.auc", "running", {"2024-01-03"}, 0.7});
  EXPECT_EQ(Scorer(run.options(cache)).checkpoint(), first);
  options.checkpoint = "newest";
  EXPECT_THAT(user_error([&] { Scorer{options}; }), HasSubstr("cache.h5: was built from " + first));
}

// The run's items [0, items), of which one has another price, as an import would replace items.h5: a dataset
// of that name.
std::string with_items(const ServedRun& run, const std::string& name, int64_t items, int64_t dearer) {
  const Hdf5File before(run.data() + "/items.h5", Hdf5File::Mode::read);
  std::vector<float> prices = before.read<float>("/item/price");
  prices.resize(static_cast<size_t>(items), 0.5f);
  if (dearer >= 0) prices[static_cast<size_t>(dearer)] += 1.0f;
  const std::string made = run.file(name + "-made"), data = run.file(name);
  write_items(run, made, prices);
  std::filesystem::create_directories(data);
  std::filesystem::copy_file(run.data() + "/dataset.yaml", data + "/dataset.yaml");
  std::filesystem::copy_file(made + "/items.h5", data + "/items.h5");
  return data;
}

TEST(StaleCache, OfItemsWithOtherFeaturesIsRefused) {
  ServedRun run;
  run.train(1);
  ScorerOptions options = run.options(run.cache("cache.h5"));
  EXPECT_NO_THROW(Scorer{options});
  options.data = with_items(run, "same", 40, -1);
  EXPECT_NO_THROW(Scorer{options});
  options.data = with_items(run, "more", 45, 42);  // what is cached is as it was
  EXPECT_NO_THROW(Scorer{options});
  for (const auto& [name, items, dearer] : {std::tuple{"other", 40, 17}, {"fewer", 39, -1}}) {
    options.data = with_items(run, name, items, dearer);
    options.missing = MissingItems::score;
    EXPECT_THAT(
        user_error([&] { Scorer{options}; }),
        AllOf(HasSubstr("cache.h5: "), HasSubstr(options.data + "/items.h5"), HasSubstr("build it again")));
    options.missing = MissingItems::refuse;  // no features are read
    EXPECT_NO_THROW(Scorer{options});
  }
}

// What nothing can be compared with: features of another file, and caches that do not say theirs.
TEST(StaleCache, OfFeaturesThatAreNotTheDatasetsIsRead) {
  ServedRun run;
  run.train(1);
  const std::string other = with_items(run, "other", 40, 17), cache = run.cache("cache.h5");
  EXPECT_NO_THROW(Scorer(run.options(run.cache("others.h5", RowType::f32, other + "/items.h5"))));
  ScorerOptions options = run.options(cache);
  options.items = other + "/items.h5";  // of items that the cache lacks
  EXPECT_NO_THROW(Scorer{options});

  const ItemCache now(cache);
  CacheInfo info = now.info();
  info.features_xxh3.clear();
  ItemCacheWriter writer(run.file("older.h5"), info, now.ids());
  writer.write(
      0, ConstView(static_cast<const float*>(now.rows().values), now.rows().count, now.rows().columns()));
  writer.finish();
  options = run.options(run.file("older.h5"));
  options.data = other;
  EXPECT_EQ(Scorer(options).cached_items().size(), 40u);
}

}  // namespace
}  // namespace lime
