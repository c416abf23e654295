// Rows read straight from the tables are, bit for bit, those of a lookup.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "embeddings/embedding_collection.h"
#include "runtime/philox.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

constexpr int64_t dim = 9;

std::vector<TableConfig> tables(DType type = DType::f32) {
  return {{.name = "exact", .dim = dim, .type = type, .optimizer = SparseOptimizer::sgd, .admit_after = 3},
          {.name = "folded", .dim = dim, .type = type, .capacity = 12, .optimizer = SparseOptimizer::sgd}};
}

// Of the tables' rows.
class EmbeddingRead : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, EmbeddingRead, testing::Values(DType::f32, DType::bf16),
                         [](const auto& type) { return std::string(to_string(type.param)); });

// Rows of the even ids below 40 (folded: below 12); other ids read as they would start, those too that wait
// for a row.
void fill(EmbeddingCollection& collection) {
  const Philox random(3, stream_of("rows"));
  for (int64_t t = 0; t < 2; ++t)
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      TableRows rows;
      for (int64_t id = 0; id < (t == 0 ? 40 : 12); id += 2)
        if (bucket_of(id) == bucket) rows.ids.push_back(id);
      for (size_t i = 0; i < rows.ids.size() * dim; ++i)
        rows.values.push_back(static_cast<float>(random.normal(static_cast<uint64_t>(1000 * bucket) + i)));
      for (int64_t id = 1; id < 40 && t == 0; id += 4)
        if (bucket_of(id) == bucket) {
          rows.waiting.ids.push_back(id);
          rows.waiting.steps.push_back(2);
          rows.waiting.idle.push_back(0);
        }
      collection.load_rows(t, rows);
    }
  ASSERT_EQ(collection.waiting(0), 10);
}

TEST_P(EmbeddingRead, IsALookup) {
  if (test_group().size() > 1) GTEST_SKIP() << "one rank has all rows";
  Context ctx;
  EmbeddingCollection collection(ctx, test_group().world(), tables(GetParam()), 5);
  fill(collection);
  const Philox random(4, stream_of("ids"));
  std::vector<int64_t> ids, offsets{0};
  for (uint64_t i = 0; i < 300; ++i) ids.push_back(static_cast<int64_t>(random.below(60, i)) - 8);
  while (offsets.back() < 300)
    offsets.push_back(
        std::min<int64_t>(300, offsets.back() + static_cast<int64_t>(random.below(6, offsets.size()))));
  const std::vector<FeatureIds> features = {{0, Pooling::mean, ids, {}},
                                            {1, Pooling::mean, ids, {}},
                                            {0, Pooling::mean, ids, offsets},
                                            {1, Pooling::mean, ids, offsets},
                                            {0, Pooling::sum, ids, offsets}};
  auto lookup = collection.begin_lookup({features}, false);
  collection.finish_lookup(*lookup);
  for (size_t f = 0; f < features.size(); ++f) {
    const auto rows = static_cast<int64_t>(features[f].offsets.empty() ? ids.size() : offsets.size() - 1);
    const Tensor expected(Device{}, DType::f32, rows, dim), wide(Device{}, DType::f32, rows, dim + 3);
    collection.gather(ctx, *lookup, 0, static_cast<int64_t>(f), expected);
    collection.read(features[f], wide.view().slice_cols(2, 2 + dim));
    for (int64_t r = 0; r < rows; ++r)
      ASSERT_EQ(
          0, std::memcmp(expected.view().row<float>(r), wide.view().row<float>(r) + 2, dim * sizeof(float)))
          << "feature " << f << " row " << r;
    EXPECT_EQ(wide.view().row<float>(rows - 1)[1], 0);  // nothing beside it
  }
}

TEST_P(EmbeddingRead, NamesARowThatIsNotFinite) {
  if (test_group().size() > 1) GTEST_SKIP() << "one rank has all rows";
  Context ctx;
  EmbeddingCollection collection(ctx, test_group().world(), tables(GetParam()), 5);
  fill(collection);
  EXPECT_EQ(collection.not_finite(0), std::nullopt);
  for (const int64_t id : {51, 45}) {
    TableRows rows;
    rows.ids = {id};
    rows.values.assign(dim, 1.0f);
    rows.values[dim - 1] = id == 45 ? std::numeric_limits<float>::infinity() : std::nanf("");
    collection.load_rows(0, rows);
    EXPECT_EQ(collection.not_finite(0), id);
  }
  EXPECT_EQ(collection.not_finite(1), std::nullopt);
}

}  // namespace
}  // namespace lime
