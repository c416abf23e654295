#include "runtime/shared_library.h"

#include <gmock/gmock.h>

#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

TEST(SharedLibrary, LoadsFunctions) {
  double (*cosine)(double) = nullptr;
  SharedLibrary("libm.so.6", "").load(cosine, "cos");
  ASSERT_NE(cosine, nullptr);
  EXPECT_EQ(cosine(0), 1);
}

TEST(SharedLibrary, NamesWhatIsMissingAndTheRemedy) {
  const std::string text = user_error([] { SharedLibrary("libnothing.so.7", "install nothing"); });
  EXPECT_THAT(text, testing::StartsWith("device 'cuda' needs libnothing.so.7: "));
  EXPECT_THAT(text, testing::HasSubstr("LD_LIBRARY_PATH"));
  EXPECT_THAT(text, testing::EndsWith("; install nothing"));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(SharedLibrary, NamesAMissingFunction) {
  int (*none)() = nullptr;
  EXPECT_THAT(user_error([&] { SharedLibrary("libm.so.6", "").load(none, "lime_no_such_function"); }),
              testing::HasSubstr("libm.so.6 has no lime_no_such_function"));
}

}  // namespace
}  // namespace lime
