#include "parallel/communicator.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "parallel/comm_checks.h"

namespace lime {

// --- checks ------------------------------------------------------------------------------------

void check_buffer(const Communicator& comm, const ConstView& v, const char* collective) {
  LIME_CHECK(v.contiguous(), collective, ": a ", v.rows(), "x", v.cols(), " view with stride ", v.stride());
  LIME_CHECK(v.device() == comm.device(), collective, " of ", comm.name(), " takes memory of ",
             to_string(comm.device()), ", not ", to_string(v.device()));
}

void check_all_gather(const Communicator& comm, const ConstView& in, const ConstView& out) {
  check_buffer(comm, in, "all_gather");
  check_buffer(comm, out, "all_gather");
  LIME_CHECK(in.dtype() == out.dtype() && out.size() == in.size() * comm.size(), "all_gather of ", in.size(),
             " ", to_string(in.dtype()), " over ", comm.size(), " ranks into ", out.size(), " ",
             to_string(out.dtype()));
}

void check_reduce_scatter(const Communicator& comm, const ConstView& in, const ConstView& out) {
  check_buffer(comm, in, "reduce_scatter");
  check_buffer(comm, out, "reduce_scatter");
  LIME_CHECK(in.dtype() == out.dtype() && in.size() == out.size() * comm.size(), "reduce_scatter of ",
             in.size(), " ", to_string(in.dtype()), " over ", comm.size(), " ranks into ", out.size(), " ",
             to_string(out.dtype()));
}

namespace {

void check_counts(const Communicator& comm, const ConstView& v, std::span<const int64_t> counts,
                  const char* which) {
  LIME_CHECK(static_cast<int>(counts.size()) == comm.size(), "all_to_all_v: ", counts.size(), " ", which,
             " counts for ", comm.size(), " ranks");
  int64_t total = 0;
  for (const int64_t n : counts) {
    LIME_CHECK(n >= 0, "all_to_all_v: a ", which, " count of ", n);
    total += n;
  }
  LIME_CHECK(total == v.size(), "all_to_all_v: ", which, " counts add up to ", total, ", the view has ",
             v.size());
}

}  // namespace

void check_all_to_all_v(const Communicator& comm, const ConstView& send, std::span<const int64_t> send_counts,
                        const ConstView& recv, std::span<const int64_t> recv_counts) {
  check_buffer(comm, send, "all_to_all_v");
  check_buffer(comm, recv, "all_to_all_v");
  LIME_CHECK(send.dtype() == recv.dtype(), "all_to_all_v of ", to_string(send.dtype()), " into ",
             to_string(recv.dtype()));
  check_counts(comm, send, send_counts, "send");
  check_counts(comm, recv, recv_counts, "receive");
  const auto self = static_cast<size_t>(comm.rank());
  LIME_CHECK(send_counts[self] == recv_counts[self], "all_to_all_v: this rank sends itself ",
             send_counts[self], " elements and receives ", recv_counts[self]);
}

void check_root(const Communicator& comm, int root, const char* collective) {
  LIME_CHECK(0 <= root && root < comm.size(), collective, ": root ", root, " of ", comm.size(), " ranks");
}

// --- helpers -----------------------------------------------------------------------------------

namespace {

template <typename T>
ConstView as_view(std::span<const T> values) {
  return {values.data(), 1, static_cast<int64_t>(values.size())};
}
template <typename T>
View as_view(std::vector<T>& values) {
  return {values.data(), 1, static_cast<int64_t>(values.size())};
}

template <typename T>
std::vector<T> gather_values(Communicator& comm, std::span<const T> mine) {
  std::vector<T> all(mine.size() * static_cast<size_t>(comm.size()));
  comm.all_gather(as_view(mine), as_view(all))->wait();
  return all;
}

// Bytes travel as 8-byte words.
std::vector<int64_t> to_words(std::span<const char> bytes) {
  std::vector<int64_t> words((bytes.size() + 7) / 8);
  if (!bytes.empty()) std::memcpy(words.data(), bytes.data(), bytes.size());
  return words;
}

}  // namespace

std::vector<int64_t> all_gather_values(Communicator& comm, std::span<const int64_t> mine) {
  return gather_values(comm, mine);
}

std::vector<double> all_gather_values(Communicator& comm, std::span<const double> mine) {
  return gather_values(comm, mine);
}

std::vector<std::string> all_gather_texts(Communicator& comm, const std::string& mine) {
  const auto size = static_cast<int64_t>(mine.size());
  const std::vector<int64_t> sizes = all_gather_values(comm, std::span<const int64_t>(&size, 1));
  const int64_t longest = *std::max_element(sizes.begin(), sizes.end());
  std::vector<char> padded(static_cast<size_t>(longest));
  std::copy(mine.begin(), mine.end(), padded.begin());
  const std::vector<int64_t> words = to_words(padded), all = all_gather_values(comm, words);
  std::vector<std::string> texts;
  for (size_t r = 0; r < sizes.size(); ++r)
    texts.emplace_back(reinterpret_cast<const char*>(all.data() + r * words.size()),
                       static_cast<size_t>(sizes[r]));
  return texts;
}

void broadcast_bytes(Communicator& comm, std::vector<char>& bytes, int root) {
  auto size = static_cast<int64_t>(bytes.size());
  comm.broadcast(View(&size, 1, 1), root)->wait();
  bytes.resize(static_cast<size_t>(size));
  std::vector<int64_t> words = to_words(bytes);
  comm.broadcast(as_view(words), root)->wait();
  if (size > 0) std::memcpy(bytes.data(), words.data(), bytes.size());
}

std::vector<std::vector<char>> gather_bytes(Communicator& comm, std::span<const char> mine, int root) {
  check_root(comm, root, "gather_bytes");
  const auto size = static_cast<int64_t>(mine.size());
  const std::vector<int64_t> sizes = all_gather_values(comm, std::span<const int64_t>(&size, 1));
  const std::vector<int64_t> words = to_words(mine);
  std::vector<int64_t> send_counts(sizes.size()), recv_counts(sizes.size());
  send_counts[static_cast<size_t>(root)] = static_cast<int64_t>(words.size());
  if (comm.rank() == root) {
    std::transform(sizes.begin(), sizes.end(), recv_counts.begin(), [](int64_t n) { return (n + 7) / 8; });
  }
  const int64_t total = std::accumulate(recv_counts.begin(), recv_counts.end(), int64_t{0});
  std::vector<int64_t> received(static_cast<size_t>(total));
  comm.all_to_all_v(as_view(std::span<const int64_t>(words)), send_counts, as_view(received), recv_counts)
      ->wait();

  std::vector<std::vector<char>> result;
  if (comm.rank() != root) return result;
  const char* next = reinterpret_cast<const char*>(received.data());
  for (size_t r = 0; r < sizes.size(); ++r) {
    result.emplace_back(next, next + sizes[r]);
    next += recv_counts[r] * 8;
  }
  return result;
}

}  // namespace lime
