#include "runtime/arena.h"

#include <gtest/gtest.h>

#include "runtime/sanitizer.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

class ArenaOn : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  ArenaOn() : DeviceTest(GetParam()) {}
  Arena arena{ctx.device()};
};
INSTANTIATE_TEST_SUITE_P(Devices, ArenaOn, testing::ValuesIn(test_devices()), device_name);

TEST_P(ArenaOn, AllocationsAreAlignedAndDisjoint) {
  std::vector<View> views;
  for (int64_t i = 1; i <= 50; ++i) {
    views.push_back(arena.alloc(i % 2 ? DType::f32 : DType::f64, i, 3));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(views.back().raw()) % (ctx.device() == Device{} ? 64 : 128), 0u);
    fill(ctx, views.back(), static_cast<double>(i));
  }
  for (int64_t i = 1; i <= 50; ++i) {
    const View& v = views[static_cast<size_t>(i - 1)];
    const Tensor wide(ctx.device(), DType::f64, i, 3);
    copy(ctx, v, wide);
    for (const double value : to_host<double>(ctx, wide.view())) ASSERT_EQ(value, static_cast<double>(i));
  }
}

TEST_P(ArenaOn, ScopeGivesBack) {
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

TEST_P(ArenaOn, StopsAskingTheSystemOnceAStepFits) {
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

TEST_P(ArenaOn, EmptyViewsAreLegal) {
  EXPECT_NE(arena.alloc(DType::f32, 0, 128).raw(), nullptr);
  EXPECT_THROW(arena.alloc(DType::f32, -1, 2), Error);
}

// A build without AddressSanitizer finds nothing.
TEST(ArenaDeathTest, AddressSanitizerKnowsWhatIsHandedOut) {
  if (!sanitizer::finds_addresses) GTEST_SKIP() << "built without AddressSanitizer";
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  Arena arena{Device{}};
  auto* first = static_cast<volatile float*>(arena.alloc(DType::f32, 1, 16).raw());  // a whole cache line
  auto* second = static_cast<volatile float*>(arena.alloc(DType::f32, 1, 5).raw());
  first[15] = 1;
  second[4] = 1;
  EXPECT_DEATH(first[16] = 1, "use-after-poison");
  EXPECT_DEATH(second[5] = 1, "use-after-poison");
  volatile float* given_back = nullptr;
  {
    const Arena::Scope scope(arena);
    given_back = static_cast<volatile float*>(arena.alloc(DType::f32, 1, 5).raw());
    arena.alloc(DType::f32, 2000, 2000);  // another block
    given_back[0] = 1;
  }
  EXPECT_DEATH(given_back[0] = 1, "use-after-poison");
  second[4] = 1;
  arena.reset();
  arena.alloc(DType::f32, 1, 16);
  EXPECT_DEATH(arena.alloc(DType::f32, 1, 5).data<float>()[5] = 1, "use-after-poison");
}

}  // namespace
}  // namespace lime
