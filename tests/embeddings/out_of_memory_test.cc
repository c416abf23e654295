// What is said when a table's memory ends.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "embeddings/table_shard.h"
#include "runtime/error.h"
#include "runtime/sanitizer.h"

namespace lime {
namespace {

// Leaves this process so many bytes more than it has.
void limit_memory(rlim_t more) {
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlimit limit{pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + more, RLIM_INFINITY};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::abort();
}

[[noreturn]] void fill(TableShard& shard) {
  const std::vector<float> values(static_cast<size_t>(shard.config().dim));
  limit_memory(rlim_t{64} << 20);
  try {
    for (int64_t id = 0; id < 1 << 20; ++id) shard.admit(id, values.data());
  } catch (const UserError& error) {
    std::fputs(error.what(), stderr);
    std::exit(2);
  }
  std::exit(0);
}

TEST(OutOfMemory, NamesTheTableAndItsSize) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "a sanitizer's own memory is limited, too";
#endif
  if (sanitizer::finds_addresses) GTEST_SKIP() << "a sanitizer's own memory is limited, too";
  TableConfig config;
  config.name = "author";
  config.dim = 1024;
  TableShard shard(config, 1);
  EXPECT_EXIT(
      fill(shard), testing::ExitedWithCode(2),
      "^table author: no memory for another row beside its [0-9]+ rows .[0-9]+ bytes. on this rank: out of "
      "memory: [0-9]+ bytes wanted; .* embeddings.tables.author.capacity, .dim or .admit_after$");
}

}  // namespace
}  // namespace lime
