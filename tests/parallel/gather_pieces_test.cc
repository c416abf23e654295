#include "parallel/gather_pieces.h"

#include <gtest/gtest.h>

#include "tests/support/test_support.h"

namespace lime {
namespace {

TEST(GatherPieces, BringsEveryRanksBytesInOrder) {
  Communicator& comm = test_group().world();
  // As many bytes as make no piece, one, one and a bit, ...: all different in their places.
  const auto bytes_of = [](int r) {
    std::vector<char> bytes(static_cast<size_t>(r + 1) % 4 * 10);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(17 * r + static_cast<int>(i));
    return bytes;
  };
  const int root = comm.size() - 1;
  const size_t piece_bytes = 8;
  std::vector<std::vector<char>> gathered(static_cast<size_t>(comm.size()));
  const auto mine = bytes_of(comm.rank());
  gather_pieces(comm, mine, piece_bytes, root, [&](int r, std::span<const char> piece) {
    EXPECT_EQ(comm.rank(), root);
    EXPECT_TRUE(!piece.empty() && piece.size() <= piece_bytes);
    auto& all = gathered.at(static_cast<size_t>(r));
    all.insert(all.end(), piece.begin(), piece.end());
  });
  for (int r = 0; r < comm.size(); ++r)
    EXPECT_EQ(gathered[static_cast<size_t>(r)], comm.rank() == root ? bytes_of(r) : std::vector<char>()) << r;
}

}  // namespace
}  // namespace lime
