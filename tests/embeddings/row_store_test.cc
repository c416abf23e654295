#include "embeddings/row_store.h"

#include <gtest/gtest.h>

namespace lime {
namespace {

TEST(RowStore, KeepsRowsWhileItGrows) {
  for (const int64_t width : {1, 3, 64, 5000, 3000000}) {
    RowStore store(width * 4);
    const int64_t rows = width == 3000000 ? 20 : 4000000 / width;
    for (int64_t r = 0; r < rows; ++r) {
      auto* row = static_cast<float*>(store.append());
      row[0] = static_cast<float>(r);
      row[width - 1] = static_cast<float>(r);
    }
    ASSERT_EQ(store.rows(), rows);
    for (int64_t r = 0; r < rows; ++r) {
      const auto* row = static_cast<const float*>(store.row(r));
      ASSERT_EQ(row[0], static_cast<float>(r)) << width;
      ASSERT_EQ(row[width - 1], static_cast<float>(r)) << width;
    }
    EXPECT_GE(store.bytes(), rows * width * 4);
  }
}

TEST(RowStore, AFullChunkStaysWhereItIs) {
  RowStore store(256);
  for (int i = 0; i < 20000; ++i) store.append();
  const void* first = store.row(0);
  for (int i = 0; i < 100000; ++i) store.append();
  EXPECT_EQ(store.row(0), first);
}

TEST(RowStore, SmallTablesAreSmallAndEmptyRowsCostNothing) {
  RowStore small(128), none(0);
  for (int i = 0; i < 10; ++i) small.append(), none.append();
  EXPECT_LE(small.bytes(), 4096);
  EXPECT_EQ(none.bytes(), 0);
  EXPECT_EQ(none.rows(), 10);
}

}  // namespace
}  // namespace lime
