// What PartCache keeps, seen by whether a part comes back as the same object; and PartAssignment, whose users
// need not fit in memory.
#include "io/part_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/part_assignment.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;

class PartCacheTest : public testing::Test {
 protected:
  // Parts whose number is in `wanted`, one after the other, each read by nobody when the next is asked for:
  // which of them had to be loaded.
  std::vector<int64_t> loads(PartCache& cache, const std::vector<int64_t>& wanted) {
    std::vector<int64_t> loaded;
    for (const int64_t part : wanted) {
      const int64_t before = cache.loads();
      const auto held = cache.get(part);
      if (cache.loads() != before) loaded.push_back(part);
    }
    return loaded;
  }

  TempDirectory temp_;
  const Dataset dataset_ =
      write_log(make_random_log(3, {60, 3000, 900, 2}), temp_.file("data"), small_writer(4));
  const ReadPlan plan_{dataset_.schema(), full_spec(), HistoryMode::running};
  const ItemTable items_{dataset_, plan_.item_columns};
  int64_t part_bytes(int64_t part) const { return EventsPart(dataset_, part, plan_, items_).bytes(); }
};

TEST_F(PartCacheTest, KeepsAllPartsWhereThereIsRoom) {
  PartCache cache(dataset_, plan_, items_, int64_t{1} << 30);
  EXPECT_THAT(loads(cache, {0, 1, 2, 3, 2, 0, 1, 3}), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(cache.bytes(), part_bytes(0) + part_bytes(1) + part_bytes(2) + part_bytes(3));
}

TEST_F(PartCacheTest, AShareOfThePartsStaysWhereNotAllFit) {
  PartCache cache(dataset_, plan_, items_, part_bytes(0) + part_bytes(1));
  loads(cache, {0, 1, 2, 3});
  // Half of the parts fit: half of them are loaded each day. (With the oldest gone first, all of them.)
  EXPECT_LE(loads(cache, {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}).size(), 6U);
  EXPECT_LE(cache.bytes(), part_bytes(0) + part_bytes(1) + part_bytes(2));
}

TEST_F(PartCacheTest, WithoutRoomKeepsWhatIsRead) {
  PartCache cache(dataset_, plan_, items_, 0);
  const auto read = cache.get(1);
  EXPECT_THAT(loads(cache, {0, 2, 0, 1}), ElementsAre(0, 2, 0));
  EXPECT_EQ(cache.get(1), read);
}

// The assignment of users to three parts: heaviest first, ties by id, each to the lightest part.
std::vector<int64_t> parts_of(PartAssignment& assignment, int64_t users, int64_t memory_bytes) {
  assignment.assign({0, 0, 0}, nullptr, memory_bytes);
  std::vector<int64_t> parts;
  for (int64_t user = 0; user < users; ++user) parts.push_back(assignment.part_of(user));
  return parts;
}

TEST(PartAssignmentTest, TheHeaviestUsersAreDealtFirst) {
  TempDirectory temp;
  PartAssignment assignment(temp.file("sort"));
  for (const auto& [user, rows] :
       std::vector<std::pair<int64_t, int64_t>>{{2, 1}, {0, 2}, {1, 9}, {0, 3}, {3, 5}})
    assignment.add(user, rows);
  EXPECT_THAT(parts_of(assignment, 4, 1 << 20), ElementsAre(1, 0, 1, 2));
}

TEST(PartAssignmentTest, IsTheSameInLittleMemory) {
  TempDirectory temp;
  constexpr int64_t users = 1500;
  PartAssignment plenty(temp.file("plenty")), little(temp.file("little"));
  for (int64_t i = 0; i < 4 * users; ++i) {
    for (auto* assignment : {&plenty, &little}) assignment->add(i * 7919 % users, i * i % 17);
    if (little.buffered().buffered_bytes() > 65536) little.buffered().spill();
  }
  EXPECT_EQ(parts_of(plenty, users, int64_t{1} << 30), parts_of(little, users, 65536));
}

}  // namespace
}  // namespace lime
