#include "launch/link_bench.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "runtime/primitives.h"
#include "runtime/stopwatch.h"

namespace lime {
namespace {

double slowest(Communicator& comm, double seconds) {
  const auto all = all_gather_values(comm, std::span<const double>(&seconds, 1));
  return *std::max_element(all.begin(), all.end());
}

struct CallTime {
  double mean = 0, best = 0;
};
// Seconds a call of `f` on the slowest rank, over as many calls as take about `seconds`; the best of their
// batches.
template <typename F>
CallTime seconds_a_call(Communicator& comm, double seconds, F&& f) {
  const auto timed = [&](int64_t calls) {
    comm.barrier()->wait();
    const Stopwatch watch;
    for (int64_t i = 0; i < calls; ++i) f();
    return slowest(comm, watch.seconds());
  };
  const double first = timed(1);  // takes memory, opens connections; counts where it takes long without that
  if (first > 5 * seconds) return {first, first};
  double spent = 0;
  CallTime time{0, first};
  int64_t calls = 0;
  for (int64_t more = 1; spent < seconds; more *= 2) {
    const double batch = timed(more);
    time.best = std::min(time.best, batch / static_cast<double>(more));
    spent += batch;
    calls += more;
  }
  time.mean = spent / static_cast<double>(calls);
  return time;
}

// Seconds for so many bytes between the two ranks of `pair`, one way: from a barrier until all has arrived.
double seconds_one_way(Communicator& pair, int from, int64_t bytes) {
  std::vector<int64_t> values(static_cast<size_t>(bytes / 8), 1), nothing;
  std::vector<int64_t> to(2), of(2);
  const bool sends = pair.rank() == from;
  (sends ? to : of)[static_cast<size_t>(1 - pair.rank())] = bytes / 8;
  const auto view = [](std::vector<int64_t>& v) { return View(v.data(), 1, static_cast<int64_t>(v.size())); };
  pair.barrier()->wait();
  const Stopwatch watch;
  pair.all_to_all_v(view(sends ? values : nothing), to, view(sends ? nothing : values), of)->wait();
  return slowest(pair, watch.seconds());
}

// ... the best of three, with so many bytes that they take a while: what else runs on a host only makes it
// less.
double megabytes_a_second(Communicator& pair, int from) {
  constexpr int64_t most = int64_t{64} << 20;
  constexpr double a_while = 0.05;
  int64_t bytes = int64_t{256} << 10;
  double seconds = seconds_one_way(pair, from, bytes);
  for (; seconds < a_while && bytes < most; seconds = seconds_one_way(pair, from, bytes)) bytes *= 4;
  for (int i = 0; i < 2; ++i) seconds = std::min(seconds, seconds_one_way(pair, from, bytes));
  return static_cast<double>(bytes) * 1e-6 / seconds;
}

}  // namespace

std::vector<CollectiveTime> time_collectives(ProcessGroup& group, Context& ctx, Communicator& comm,
                                             double seconds, int64_t largest_bytes) {
  std::vector<CollectiveTime> times;
  const int64_t ranks = group.size();
  if (ranks == 1) return times;
  for (const int64_t about : {int64_t{1}, largest_bytes / 64, largest_bytes}) {
    const int64_t each = std::max<int64_t>(1, about / 4 / ranks), count = each * ranks, bytes = 4 * count;
    const Tensor a(ctx.device(), DType::f32, 1, count), b(ctx.device(), DType::f32, 1, count);
    fill(ctx, a, 0);
    const std::vector<int64_t> counts(static_cast<size_t>(ranks), each);
    const double share = static_cast<double>(ranks - 1) / static_cast<double>(ranks);
    const auto add = [&](const char* name, double moved, const std::function<WorkPtr()>& start) {
      const double s = seconds_a_call(group.world(), seconds, [&] {
                         start()->wait();
                         ctx.synchronize();
                       }).mean;
      times.push_back({name, bytes, 1e6 * s, moved * static_cast<double>(bytes) * 1e-9 / s});
    };
    add("all-reduce", 2 * share, [&] { return comm.all_reduce(a.view(), ReduceOp::sum); });
    add("all-to-all", share, [&] { return comm.all_to_all_v(a.view(), counts, b.view(), counts); });
  }
  return times;
}

std::vector<std::vector<std::pair<int, int>>> rounds_of_pairs(int n) {
  std::vector<std::vector<std::pair<int, int>>> rounds;
  const int seats = n + n % 2;  // of an odd number one sits out
  for (int round = 0; round + 1 < seats; ++round) {
    rounds.emplace_back();
    // Seat 0 stays, the others move on by one.
    const auto at = [&](int seat) { return seat == 0 ? 0 : 1 + (seat - 1 + round) % (seats - 1); };
    for (int seat = 0; 2 * seat < seats; ++seat) {
      const auto [a, b] = std::minmax({at(seat), at(seats - 1 - seat)});
      if (b < n) rounds.back().emplace_back(a, b);
    }
  }
  return rounds;
}

std::vector<HostLink> time_links(ProcessGroup& group, const std::vector<int>& host_of) {
  const int hosts = 1 + *std::max_element(host_of.begin(), host_of.end());
  std::vector<HostLink> mine;
  const int host = host_of[static_cast<size_t>(group.rank())];
  const bool leads = std::find(host_of.begin(), host_of.end(), host) - host_of.begin() == group.rank();
  for (const auto& round : rounds_of_pairs(hosts)) {
    int colour = -1, number = 0;
    for (const auto& [a, b] : round) {
      if (leads && (host == a || host == b)) colour = number;
      ++number;
    }
    group.world().barrier()->wait();
    const auto pair = group.split(colour);
    if (!pair) continue;
    int64_t here = 1, there = 0;
    const std::vector<int64_t> one =
        pair->rank() == 0 ? std::vector<int64_t>{0, 1} : std::vector<int64_t>{1, 0};
    const auto small_messages = [&] {
      pair->all_to_all_v(ConstView(&here, 1, 1), one, View(&there, 1, 1), one)->wait();
    };
    const double us = 1e6 * seconds_a_call(*pair, 0.05, small_messages).best;
    const double up = megabytes_a_second(*pair, 0), down = megabytes_a_second(*pair, 1);
    if (pair->rank() != 0) continue;
    const auto [a, b] = round[static_cast<size_t>(colour)];
    // Ranks of a communicator are in the order of the group's, hosts in that of their first ranks.
    mine.push_back({a, b, up, us});
    mine.push_back({b, a, down, us});
  }
  std::vector<HostLink> links;
  const std::span<const char> bytes(reinterpret_cast<const char*>(mine.data()),
                                    mine.size() * sizeof(HostLink));
  for (const auto& part : gather_bytes(group.world(), bytes, 0)) {
    const size_t before = links.size();
    links.resize(before + part.size() / sizeof(HostLink));
    if (!part.empty()) std::memcpy(links.data() + before, part.data(), part.size());
  }
  std::sort(links.begin(), links.end(), [](const HostLink& x, const HostLink& y) {
    return std::pair(x.from, x.to) < std::pair(y.from, y.to);
  });
  return links;
}

}  // namespace lime
