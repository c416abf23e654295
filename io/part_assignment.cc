#include "io/part_assignment.h"

#include <functional>
#include <queue>
#include <utility>

#include "runtime/error.h"

namespace lime {
namespace {

void add_within(ExternalSorter& sorter, const SortKey& key, int64_t memory_bytes) {
  sorter.add(key, {});
  if (sorter.buffered_bytes() > memory_bytes) sorter.spill();
}

}  // namespace

PartAssignment::PartAssignment(const std::string& scratch)
    : loads_(scratch, "loads"), by_load_(scratch, "by-load"), parts_(scratch, "parts") {}

void PartAssignment::assign(std::vector<int64_t> part_load, UserIndexReader* known, int64_t memory_bytes) {
  loads_.seal(memory_bytes / 4);
  bool is_known = known && known->next();
  for (bool more = loads_.next(); more;) {
    const int64_t user = loads_.key().major;
    int64_t rows = 0;
    for (; more && loads_.key().major == user; more = loads_.next()) rows += loads_.key().middle;
    while (is_known && known->entry().id < user) is_known = known->next();
    if (is_known && known->entry().id == user)
      part_load.at(static_cast<size_t>(known->entry().part)) += rows;
    else
      add_within(by_load_, {-rows, user, 0, 0}, memory_bytes / 4);
  }
  by_load_.seal(memory_bytes / 4);
  using Part = std::pair<int64_t, int64_t>;  // load, part
  std::priority_queue<Part, std::vector<Part>, std::greater<>> lightest;
  for (size_t p = 0; p < part_load.size(); ++p) lightest.emplace(part_load[p], static_cast<int64_t>(p));
  while (by_load_.next()) {
    const auto [load, part] = lightest.top();
    lightest.pop();
    lightest.emplace(load - by_load_.key().major, part);
    add_within(parts_, {by_load_.key().middle, part, 0, 0}, memory_bytes / 4);
  }
  parts_.seal(memory_bytes / 4);
}

int64_t PartAssignment::part_of(int64_t user) {
  while (parts_.next())
    if (parts_.key().major == user) return parts_.key().middle;
  LIME_CHECK(false, "user ", user, " was not assigned to a part");
}

}  // namespace lime
