// One table of items in the memory of a host, whatever the number of its ranks.
#include "launch/host_items.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "io/item_table.h"
#include "runtime/error.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::HasSubstr;

class HostItems : public testing::Test {
 protected:
  std::string data() const { return directory_.file("data"); }
  // Of what this process has mapped, the numbers of the files in memory that hold items.
  static std::set<int64_t> mapped_tables() {
    std::set<int64_t> inodes;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.find("/memfd:items.h5") == std::string::npos) continue;
      std::istringstream words(line);  // addresses, permissions, offset, device, inode
      std::string skipped;
      int64_t inode = 0;
      words >> skipped >> skipped >> skipped >> skipped >> inode;
      inodes.insert(inode);
    }
    return inodes;
  }

  ProcessGroup& group_ = test_group();
  const TempDirectory directory_{TempDirectory::Shared::yes};
  const Dataset dataset_ = shared_small_dataset(data());
};

TEST_F(HostItems, AreInMemoryOnce) {
  const Config config = small_config(data());
  const auto items = items_of_host(group_, dataset_, config.features);
  const ItemTable expected(dataset_.items_path(), {});
  ASSERT_GT(items->columns(), 0u);
  EXPECT_TRUE(std::ranges::equal(items->ids(), expected.ids()));

  const std::set<int64_t> mapped = mapped_tables();
  ASSERT_EQ(mapped.size(), 2u);  // `expected`, and the host's
  std::vector<int64_t> mine(mapped.begin(), mapped.end());
  const std::vector<int64_t> all = all_gather_values(group_.world(), std::span<const int64_t>(mine));
  const std::set<int64_t> different(all.begin(), all.end());
  EXPECT_EQ(different.size(), static_cast<size_t>(group_.size()) + 1);
}

TEST_F(HostItems, ThatNobodyReadsAreNotLoaded) {
  BatchSpec spec = small_config(data()).features;
  spec.history = spec.candidate = {"item"};
  EXPECT_EQ(items_of_host(group_, dataset_, spec)->columns(), 0u);
  EXPECT_TRUE(mapped_tables().empty());
}

TEST_F(HostItems, InABrokenFileAreOneErrorOnAllRanks) {
  group_.world().barrier()->wait();
  if (group_.rank() == 0) std::filesystem::resize_file(dataset_.items_path(), 100);
  group_.world().barrier()->wait();
  EXPECT_THAT(user_error([&] { items_of_host(group_, dataset_, small_config(data()).features); }),
              HasSubstr("items.h5"));
}

}  // namespace
}  // namespace lime
