// Many collectives under way at once, waited for in any order.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/parallel/reference_sum.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

struct Flight {
  std::vector<std::vector<std::vector<float>>> inputs;  // [work][rank]
  std::vector<std::vector<float>> buffers;
  std::vector<WorkPtr> works;

  Flight(Communicator& comm, const std::vector<int64_t>& sizes, uint64_t key) {
    for (size_t w = 0; w < sizes.size(); ++w) {
      inputs.emplace_back();
      for (int r = 0; r < comm.size(); ++r) {
        inputs.back().push_back(rough_values<float>(sizes[w], key + 100 * w + static_cast<uint64_t>(r)));
      }
      buffers.push_back(inputs.back()[static_cast<size_t>(comm.rank())]);
    }
    for (auto& buffer : buffers) works.push_back(comm.all_reduce(view_of(buffer), ReduceOp::sum));
  }
  void check() const {
    for (size_t w = 0; w < buffers.size(); ++w) {
      EXPECT_TRUE(same_bits(buffers[w], reference_tree_sum(inputs[w]))) << "work " << w;
    }
  }
};

// Some take one exchange, some two.
const std::vector<int64_t> sizes{20000, 10, 15000, 0, 1, 60000, 777, 9000};

TEST(WorksInFlight, WaitedForInAnotherOrderOnEveryRank) {
  Communicator& comm = test_group().world();
  for (int round = 0; round < 3; ++round) {
    Flight flight(comm, sizes, static_cast<uint64_t>(10000 * round));
    std::vector<size_t> order(sizes.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    const Philox random(3,
                        stream_of("order", static_cast<uint64_t>(comm.rank()), static_cast<uint64_t>(round)));
    for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1, i)]);
    for (const size_t w : order) flight.works[w]->wait();
    flight.check();
  }
}

TEST(WorksInFlight, WaitsAreCountedOnTheRanksThatWait) {
  Communicator& comm = test_group().world();
  const auto other = comm.duplicate();
  comm.barrier()->wait();
  const double before = comm.waited_ms();
  const bool late = comm.rank() == comm.size() - 1;
  if (late) std::this_thread::sleep_for(std::chrono::milliseconds(200));
  other->barrier()->wait();
  const double waited = comm.waited_ms() - before;
  EXPECT_EQ(waited, other->waited_ms() - before);
  if (late)
    EXPECT_LT(waited, 150);
  else
    EXPECT_GT(waited, 100);
}

TEST(WorksInFlight, TestMakesProgressToTheEnd) {
  Flight flight(test_group().world(), sizes, 77);
  while (!std::all_of(flight.works.begin(), flight.works.end(),
                      [](const WorkPtr& work) { return work->test(); })) {
  }
  for (const WorkPtr& work : flight.works) EXPECT_TRUE(work->test());
  flight.check();
}

TEST(WorksInFlight, DestroyingAWorkWaitsForIt) {
  Flight flight(test_group().world(), sizes, 99);
  flight.works.clear();
  flight.check();
}

TEST(WorksInFlight, ADuplicateHasAnOrderOfItsOwn) {
  Communicator& world = test_group().world();
  const auto other = world.duplicate();
  EXPECT_EQ(other->rank(), world.rank());
  EXPECT_EQ(other->size(), world.size());
  // Even ranks begin and wait on one first, odd ranks on the other.
  Communicator* order[2] = {&world, other.get()};
  if (world.rank() % 2) std::swap(order[0], order[1]);
  const auto key = [&](Communicator* comm) { return comm == &world ? uint64_t{5000} : uint64_t{9000}; };
  Flight first(*order[0], sizes, key(order[0]));
  Flight second(*order[1], sizes, key(order[1]));
  for (const WorkPtr& work : second.works) work->wait();
  for (const WorkPtr& work : first.works) work->wait();
  first.check();
  second.check();
}

TEST(WorksInFlight, KindsOfCollectivesMix) {
  Communicator& comm = test_group().world();
  const int rank = comm.rank(), size = comm.size();
  for (int round = 0; round < 20; ++round) {
    const auto tag = static_cast<double>(round);
    std::vector<double> sum(3000, rank + tag), own(500, rank + tag), all(500 * static_cast<size_t>(size));
    std::vector<double> news(2000, rank == round % size ? tag : -1.0);
    std::vector<WorkPtr> works;
    works.push_back(comm.all_gather(view_of(std::as_const(own)), view_of(all)));
    works.push_back(comm.broadcast(view_of(news), round % size));
    works.push_back(comm.barrier());
    works.push_back(comm.all_reduce(view_of(sum), ReduceOp::sum));
    if (rank % 2) std::reverse(works.begin(), works.end());
    for (const WorkPtr& work : works) work->wait();
    EXPECT_EQ(sum, std::vector<double>(3000, size * (size - 1) / 2 + size * tag));
    EXPECT_EQ(news, std::vector<double>(2000, tag));
    for (int r = 0; r < size; ++r) EXPECT_EQ(all[500 * static_cast<size_t>(r) + 499], r + tag);
  }
}

TEST(WorksInFlight, AWorkLeftByAnExceptionIsNotWaitedFor) {
  Communicator& world = test_group().world();
  if (world.size() == 1) GTEST_SKIP() << "needs several ranks";
  const auto comm = world.duplicate();
  std::vector<float> buffer(100000, 1.0f);
  if (world.rank() == 0) {  // the others never take part in this one
    EXPECT_THROW(
        {
          const WorkPtr work = comm->all_reduce(view_of(buffer), ReduceOp::sum);
          throw UserError("left");
        },
        UserError);
  }
  Flight flight(world, sizes, 4);
  for (const WorkPtr& work : flight.works) work->wait();
  flight.check();
}

TEST(WorksInFlight, OtherThreadsAreRefused) {
  Communicator& world = test_group().world();
  if (world.size() == 1) GTEST_SKIP() << "one process has no MPI";
  bool refused = false;
  std::thread([&] {
    try {
      world.barrier();
    } catch (const Error&) {
      refused = true;
    }
  }).join();
  EXPECT_TRUE(refused);
}

}  // namespace
}  // namespace lime
