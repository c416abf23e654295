// Every fuzz target in every build, without a fuzzer: its seeds, what fuzzers found
// (tests/fuzz/found/TARGET), and some hundred mutations of the seeds, the same in every run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>

#include "runtime/one_line.h"
#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {
namespace {

namespace fs = std::filesystem;

class FuzzTest : public testing::TestWithParam<const Target*> {
 protected:
  static void run(const std::string& input, const std::string& what) {
    try {
      GetParam()->run(input);
    } catch (const std::exception& error) {
      ADD_FAILURE() << GetParam()->name << ", " << what << ": " << error.what();
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Targets, FuzzTest, testing::ValuesIn(all_targets()),
                         [](const auto& about) { return std::string(about.param->name); });

TEST_P(FuzzTest, HoldsForItsSeeds) {
  const auto seeds = GetParam()->seeds();
  ASSERT_FALSE(seeds.empty());
  for (size_t i = 0; i < seeds.size(); ++i) run(seeds[i], str("seed ", i));
}

TEST_P(FuzzTest, HoldsForWhatFuzzersFound) {
  const std::string folder = str(LIME_FUZZ_FOUND, "/", GetParam()->name);
  if (!fs::exists(folder)) GTEST_SKIP() << "nothing was found";
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(folder)) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) run(read_whole(path), path);
}

// Bytes changed, put in, taken out and doubled: as fuzzers do, but blindly.
std::string mutated(std::string text, std::mt19937& random) {
  for (auto changes = random() % 4 + 1; changes > 0 && !text.empty(); --changes) {
    const size_t at = random() % text.size(), length = random() % 16;
    switch (random() % 4) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.insert(at, 1, static_cast<char>(random()));
        break;
      case 2:
        text.erase(at, length);
        break;
      default:
        text.insert(random() % text.size(), text.substr(at, length));
    }
  }
  return text;
}

TEST_P(FuzzTest, HoldsForMutationsOfItsSeeds) {
  constexpr int most = 200;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  const auto seeds = GetParam()->seeds();
  std::mt19937 random(1);
  for (int i = 0; i < most && std::chrono::steady_clock::now() < end; ++i)
    run(mutated(seeds[static_cast<size_t>(i) % seeds.size()], random), str("mutation ", i));
}

TEST(OneLine, ShowsControlCharacters) {
  EXPECT_EQ(one_line("a\nb\t'\r\x1b[1m\x7f\xC3\xA9'"), "a\\nb\\t'\\r\\x1b[1m\\x7f\xC3\xA9'");
  EXPECT_EQ(one_line(std::string("\0", 1)), "\\x00");
}

}  // namespace
}  // namespace lime::fuzz
