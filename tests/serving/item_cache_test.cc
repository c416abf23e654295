// Item caches as files: what is written is read, and what is not one is refused.
#include "serving/item_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "runtime/error.h"
#include "runtime/philox.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::HasSubstr;

constexpr int64_t count = 30, weights = 11, hidden = 6, columns = weights + hidden;

CacheInfo info_of(RowType type) { return {"step-000000007", "0123abcd", "lime_xor", type, weights, hidden}; }

std::vector<int64_t> some_ids() {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(i * i + 3);
  return ids;
}

Tensor some_rows() {
  Tensor rows(Device{}, DType::f32, count, columns);
  const Philox random(2, stream_of("rows"));
  for (int64_t i = 0; i < rows.view().size(); ++i)
    rows.view().data<float>()[i] = static_cast<float>(random.normal(static_cast<uint64_t>(i)));
  return rows;
}

void write(const std::string& path, RowType type, const ConstView& rows) {
  ItemCacheWriter writer(path, info_of(type), some_ids());
  writer.write(0, rows.slice_rows(0, 20));
  writer.write(20, rows.slice_rows(20, count));
  writer.finish();
}

class ItemCacheTypes : public testing::TestWithParam<RowType> {};

TEST_P(ItemCacheTypes, AreMappedAsTheyWereWritten) {
  TempDirectory temp;
  const Tensor rows = some_rows();
  write(temp.file("cache.h5"), GetParam(), rows.view());
  EXPECT_FALSE(std::filesystem::exists(temp.file("cache.h5.partial")));
  const ItemCache cache(temp.file("cache.h5"));
  EXPECT_EQ(cache.info().checkpoint, "step-000000007");
  EXPECT_EQ(cache.info().xxh3, "0123abcd");
  EXPECT_EQ(cache.info().model, "lime_xor");
  EXPECT_EQ(cache.info().type, GetParam());
  const auto ids = some_ids();
  EXPECT_TRUE(std::equal(ids.begin(), ids.end(), cache.ids().begin(), cache.ids().end()));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(cache.rows().values) % 64, 0u);

  std::vector<char> encoded(static_cast<size_t>(count * columns) * size_of(GetParam()));
  std::vector<float> scales(2 * count);
  encode_rows(rows.view(), weights, GetParam(), encoded.data(), scales.data());
  const ItemRows fresh{GetParam(), count, weights, hidden, encoded.data(), scales.data()};
  const Tensor expected(Device{}, DType::f32, count, columns), found(Device{}, DType::f32, count, columns);
  std::vector<int32_t> all(count);
  for (int32_t i = 0; i < count; ++i) all[static_cast<size_t>(i)] = i;
  Context ctx;
  decode_rows(ctx, fresh, all, expected);
  cache.index().find(ids, all.data());
  decode_rows(ctx, cache.rows(), all, found);
  for (int64_t i = 0; i < found.view().size(); ++i)
    ASSERT_EQ(found.view().data<float>()[i], expected.view().data<float>()[i]) << i;
}

INSTANTIATE_TEST_SUITE_P(Types, ItemCacheTypes, testing::Values(RowType::f32, RowType::f16, RowType::i8),
                         [](const auto& param) { return to_string(param.param); });

TEST(ItemCache, ValuesThatDoNotFitAreNamedAndNothingIsLeft) {
  TempDirectory temp;
  const Tensor rows = some_rows();
  float& value = rows.view().row<float>(4)[2];
  for (const auto& [bad, type, says] :
       {std::tuple{std::nanf(""), RowType::f32, "item 19: its row holds nan"},
        {std::numeric_limits<float>::infinity(), RowType::i8, "item 19: its row holds inf"},
        {-1e5f, RowType::f16, "item 19: its row holds -100000, which f16 cannot store"}}) {
    value = bad;
    EXPECT_THAT(user_error([&] { write(temp.file("cache.h5"), type, rows.view()); }), HasSubstr(says));
    EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
  }
  value = -1e5f;
  write(temp.file("cache.h5"), RowType::f32, rows.view());
}

TEST(ItemCache, WhatIsNoneIsRefused) {
  TempDirectory temp;
  const std::string path = temp.file("cache.h5");
  EXPECT_THAT(user_error([&] { ItemCache{path}; }), HasSubstr("no such file"));
  {
    Hdf5File file(path, Hdf5File::Mode::create);
    file.set_attribute("/", "format", std::string("lime-dataset"));
    file.close();
  }
  EXPECT_THAT(user_error([&] { ItemCache{path}; }), HasSubstr("cache.h5: is no item cache"));
  write(path, RowType::i8, some_rows().view());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 100);
  EXPECT_THAT(user_error([&] { ItemCache{path}; }), HasSubstr("cache.h5: "));
  std::filesystem::resize_file(path, 60);
  EXPECT_THAT(user_error([&] { ItemCache{path}; }), HasSubstr("cache.h5: "));
  EXPECT_THAT(
      user_error([&] { ItemCacheWriter(temp.file("none/cache.h5"), info_of(RowType::f32), some_ids()); }),
      HasSubstr("cannot create"));
}

TEST(ItemCache, OtherVersionsAndIdsOutOfOrderAreRefused) {
  TempDirectory temp;
  std::vector<int64_t> ids = some_ids();
  std::swap(ids[3], ids[4]);
  {
    ItemCacheWriter writer(temp.file("cache.h5"), info_of(RowType::f32), ids);
    writer.write(0, some_rows().view());
    writer.finish();
  }
  EXPECT_THAT(user_error([&] { ItemCache{temp.file("cache.h5")}; }),
              HasSubstr("/item/id: expected ids in ascending order"));
  {
    Hdf5File file(temp.file("later.h5"), Hdf5File::Mode::create);
    file.set_attribute("/", "format", std::string("lime-item-cache"));
    file.set_attribute("/", "version", int64_t{1});
    file.close();
  }
  EXPECT_THAT(user_error([&] { ItemCache{temp.file("later.h5")}; }),
              HasSubstr("item cache version 1, this program reads version 2; build it again"));
}

}  // namespace
}  // namespace lime
