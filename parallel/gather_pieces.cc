#include "parallel/gather_pieces.h"

#include <algorithm>

namespace lime {

void gather_pieces(Communicator& comm, std::span<const char> mine, size_t piece_bytes, int root,
                   const std::function<void(int rank, std::span<const char> piece)>& sink) {
  const auto size = static_cast<int64_t>(mine.size());
  const auto sizes = all_gather_values(comm, std::span(&size, 1));
  const auto most = static_cast<size_t>(*std::max_element(sizes.begin(), sizes.end()));
  for (size_t first = 0; first < most; first += piece_bytes) {
    const size_t begin = std::min(first, mine.size());
    const auto pieces =
        gather_bytes(comm, mine.subspan(begin, std::min(piece_bytes, mine.size() - begin)), root);
    for (size_t rank = 0; rank < pieces.size(); ++rank)
      if (!pieces[rank].empty()) sink(static_cast<int>(rank), pieces[rank]);
  }
}

}  // namespace lime
