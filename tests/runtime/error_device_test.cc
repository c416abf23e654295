#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/context.h"
#include "runtime/device.h"
#include "runtime/error.h"

namespace lime {
namespace {

using testing::HasSubstr;

template <typename E, typename F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Error, StrPrintsAsAStreamDoes) {
  EXPECT_EQ(str(), "");
  EXPECT_EQ(str("a", 1, ' ', 2.5, std::string("z")), "a1 2.5z");
  EXPECT_EQ(str(0.123456789), "0.123456789");  // nine digits: a float survives
}

TEST(Error, CheckNamesPlaceConditionAndMessage) {
  const int three = 3;
  const std::string text = message_of<Error>([&] { LIME_CHECK(three == 4, "three is ", three); });
  EXPECT_THAT(text, testing::StartsWith("runtime/error_device_test.cc:"));
  EXPECT_THAT(text, HasSubstr("three == 4 does not hold: three is 3"));
  EXPECT_THAT(message_of<Error>([&] { LIME_CHECK(three == 4); }),
              testing::EndsWith("three == 4 does not hold"));
  LIME_CHECK(three == 3, "not evaluated");
}

TEST(Error, CheckIsNotAUserError) {
  EXPECT_THROW(LIME_CHECK(false), Error);
  try {
    LIME_CHECK(false);
  } catch (const UserError&) {
    FAIL() << "a broken invariant is nobody's input";
  } catch (const Error&) {
  }
}

TEST(Device, Parses) {
  EXPECT_EQ(parse_device("cpu"), Device{});
  EXPECT_EQ(parse_device("cuda"), (Device{DeviceType::cuda, 0}));
  EXPECT_EQ(parse_device("cuda:3"), (Device{DeviceType::cuda, 3}));
  for (const char* text : {"cpu", "cuda:0", "cuda:12"}) EXPECT_EQ(to_string(parse_device(text)), text);
}

TEST(Device, RejectsWithTheTextAndTheChoices) {
  for (const char* text : {"", "gpu", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda 1",
                           " cuda", "cuda:99999999999"}) {
    EXPECT_EQ(message_of<UserError>([&] { parse_device(text); }),
              str("device '", text, "': expected cpu, cuda or cuda:<index>"));
  }
}

TEST(Device, CudaNeedsABuildWithCuda) {
  require_available(Device{});
  if (built_with_cuda()) {
    EXPECT_THAT(message_of<UserError>([] {
                  require_available({DeviceType::cuda, 1000});
                }),
                testing::StartsWith("device 'cuda:1000': "));
    return;
  }
  for (const auto& use : {+[] {
                            require_available({DeviceType::cuda, 0});
                          },
                          +[] {
                            Context ctx({DeviceType::cuda, 0});
                          },
                          +[] {
                            Tensor({DeviceType::cuda, 0}, DType::f32, 1, 1);
                          }}) {
    EXPECT_EQ(message_of<UserError>(use), "device 'cuda': this build has no CUDA backend; use device=cpu");
  }
}

}  // namespace
}  // namespace lime
