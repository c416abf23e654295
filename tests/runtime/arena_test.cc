#include "runtime/arena.h"

#include <gtest/gtest.h>

#include <cstring>

namespace lime {
namespace {

TEST(Arena, AllocationsAreAlignedAndDisjoint) {
  Arena arena({});
  std::vector<View> views;
  for (int64_t i = 1; i <= 50; ++i) {
    views.push_back(arena.alloc(i % 2 ? DType::f32 : DType::f64, i, 3));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(views.back().raw()) % 64, 0u);
    std::memset(views.back().raw(), static_cast<int>(i),
                static_cast<size_t>(3 * i) * size_of(views.back().dtype()));
  }
  for (int64_t i = 1; i <= 50; ++i) {
    const View& v = views[static_cast<size_t>(i - 1)];
    const auto* bytes = static_cast<const char*>(v.raw());
    for (size_t b = 0; b < static_cast<size_t>(3 * i) * size_of(v.dtype()); ++b) ASSERT_EQ(bytes[b], i);
  }
}

TEST(Arena, ScopeGivesBack) {
  Arena arena({});
  arena.alloc(DType::f32, 10, 10);
  const size_t used = arena.bytes_used();
  void* first = nullptr;
  {
    const Arena::Scope scope(arena);
    first = arena.alloc(DType::f32, 100, 100).raw();
    {
      const Arena::Scope inner(arena);
      arena.alloc(DType::f32, 2000, 2000);  // another block
      EXPECT_GT(arena.bytes_used(), used + 16'000'000);
    }
    EXPECT_LT(arena.bytes_used(), used + 50'000);
  }
  EXPECT_EQ(arena.bytes_used(), used);
  EXPECT_EQ(arena.alloc(DType::f32, 100, 100).raw(), first);
  EXPECT_GE(arena.bytes_peak(), 16'000'000u);
}

TEST(Arena, StopsAskingTheSystemOnceAStepFits) {
  Arena arena({});
  const auto step = [&] {
    for (int64_t i = 0; i < 40; ++i) {
      arena.alloc(DType::f32, 1000, 100 + i);
      const Arena::Scope scope(arena);
      arena.alloc(DType::f64, 3000, 50);
    }
    arena.reset();
  };
  EXPECT_EQ(arena.system_allocations(), 0);
  step();
  const int64_t after_first = arena.system_allocations();
  EXPECT_GT(after_first, 1);
  const size_t reserved = arena.bytes_reserved();
  for (int i = 0; i < 5; ++i) step();
  EXPECT_EQ(arena.system_allocations(), after_first);
  EXPECT_EQ(arena.bytes_reserved(), reserved);
  EXPECT_EQ(arena.bytes_used(), 0u);
  EXPECT_LE(arena.bytes_peak(), reserved);
}

TEST(Arena, EmptyViewsAreLegal) {
  Arena arena({});
  EXPECT_NE(arena.alloc(DType::f32, 0, 128).raw(), nullptr);
  EXPECT_THROW(arena.alloc(DType::f32, -1, 2), Error);
}

}  // namespace
}  // namespace lime
