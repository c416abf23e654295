// What NCCL's communicator does when ranks fail each other, and what its works wait for. The collectives
// themselves: collectives_test.cc.
#include <gmock/gmock.h>

#include <chrono>
#include <optional>
#include <thread>

#include "runtime/cuda_device.h"
#include "runtime/cuda_device_calls.h"
#include "runtime/primitives.h"
#include "tests/parallel/transports.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

using testing::HasSubstr;

// Each case has a communicator of its own: most end with a failed one.
class Nccl : public testing::Test {
 protected:
  void SetUp() override {
    if (test_group().size() < 2) GTEST_SKIP() << "needs two ranks";
    device_ = device_of_rank("cuda", test_group());
    if (!skip_reason(device_).empty()) device_.index = 0;
    if (const std::string missing = skip_reason(device_); !missing.empty()) GTEST_SKIP() << missing;
    take_ranks_for_hosts(device_);
    ctx_ = std::make_unique<Context>(device_);
  }
  void TearDown() override { test_group().world().barrier()->wait(); }

  std::unique_ptr<Communicator> connect(double collective_s = 60) {
    return make_nccl_communicator(test_group().world(), *ctx_, {.collective_s = collective_s});
  }
  template <typename Body>
  static std::string message(Body&& body) {
    try {
      body();
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing was thrown";
  }
  // Until the host sees the result, or why there is none.
  void finish(WorkPtr work) {
    work->wait();
    ctx_->synchronize();
  }
  Tensor values(int64_t n) { return {device_, DType::f32, 1, n}; }
  int rank() const { return test_group().rank(); }
  static int sum_of_ranks() { return test_group().size() * (test_group().size() - 1) / 2; }  // of ranks

  Device device_;
  std::unique_ptr<Context> ctx_;
};

TEST_F(Nccl, ARankThatDoesNotComeIsAnErrorThatSaysWhatWasUnderWay) {
  auto comm = connect(1);
  const Tensor mine = values(5), all = values(5 * comm->size());
  if (rank() == 0) {
    const std::string failure = message([&] { finish(comm->all_gather(mine.view(), all)); });
    EXPECT_THAT(failure, HasSubstr(str("nccl: all_gather of 5 f32 on rank 0/", comm->size(), " (cuda")));
    EXPECT_THAT(failure, HasSubstr("no end after 1 s: a rank is gone or calls another collective"));
    EXPECT_THAT(message([&] { comm->barrier(); }),
                HasSubstr("nccl: barrier of 0 f32 on rank 0/" + std::to_string(comm->size())));
    EXPECT_THAT(message([&] { comm->barrier(); }), HasSubstr("after an earlier failure"));
  }
  test_group().world().barrier()->wait();
  comm.reset();  // ends, though the other is gone
}

// What else the device has under way ends with it: NCCL would wait for that without end.
TEST_F(Nccl, AFailureEndsAllThatIsUnderWay) {
  auto one = connect(1), other = connect(1);
  const Tensor mine = values(5), all = values(5 * one->size());
  if (rank() == 0) {
    one->all_gather(mine.view(), all)->wait();
    other->all_gather(mine.view(), all)->wait();
    EXPECT_THAT(message([&] { finish(one->all_gather(mine.view(), all)); }),
                HasSubstr("no end after 1 s: a rank is gone or calls another collective"));
    for (const auto* comm : {&one, &other})
      EXPECT_THAT(message([&] { (*comm)->barrier(); }), HasSubstr("after an earlier failure"));
  }
  test_group().world().barrier()->wait();
}

TEST_F(Nccl, ARankThatLeavesByAnExceptionReleasesTheOthers) {
  auto comm = connect(5);
  if (rank() == 1) {
    EXPECT_EQ(message([&] {
                const auto dies = std::move(comm);
                throw Error("lost");
              }),
              "lost");
    return;
  }
  const Tensor mine = values(3), all = values(3 * comm->size());
  EXPECT_THAT(message([&] { finish(comm->all_gather(mine.view(), all)); }),
              HasSubstr("nccl: all_gather of 3 f32"));
}

TEST_F(Nccl, WorksThatAnExceptionLeavesBehindWaitForNobody) {
  auto comm = connect(5);
  const Tensor mine = values(3), all = values(3 * comm->size());
  if (rank() == 0) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(message([&] {
                const auto work = comm->all_gather(mine.view(), all);
                throw Error("lost");
              }),
              "lost");
    comm.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  }
  test_group().world().barrier()->wait();
}

TEST_F(Nccl, SoDoThoseOfSeveralCommunicators) {
  auto one = connect(5), other = connect(5);
  const Tensor mine = values(3), all = values(3 * one->size());
  if (rank() == 0) {
    EXPECT_EQ(message([&] {
                const auto first = one->all_gather(mine.view(), all);
                const auto second = other->all_gather(mine.view(), all);
                const auto third = one->all_gather(mine.view(), all);
                throw Error("lost");
              }),
              "lost");
    one.reset();
    other.reset();
  }
  test_group().world().barrier()->wait();
}

// Waits look after the communicators that there are.
TEST_F(Nccl, WhatACommunicatorLeavesUnderWayIsForgotten) {
  const auto stays = connect(5);
  auto comm = connect(5);
  const Tensor mine = values(3), all = values(3 * comm->size());
  if (rank() == 0) {
    EXPECT_EQ(message([&] {
                const auto dies = std::move(comm);
                dies->all_gather(mine.view(), all)->wait();
                throw Error("lost");
              }),
              "lost");
    EXPECT_EQ(message([&] { ctx_->synchronize(); }), "nothing was thrown");
  }
  test_group().world().barrier()->wait();
}

// What the user's stream still copies when the collective begins goes before it.
TEST_F(Nccl, ComesAfterWhatTheUsersStreamWasGiven) {
  auto comm = connect();
  constexpr size_t count = 1000;
  const std::shared_ptr<void> pinned = cuda::allocate_pinned(device_.index, count * sizeof(float));
  auto* host = static_cast<float*>(pinned.get());
  for (size_t i = 0; i < count; ++i) host[i] = static_cast<float>(rank() + 1);
  const Tensor sum = values(count);
  ctx_->stream().to_device(host, count * sizeof(float), sum.view().raw(), count * sizeof(float),
                           {1, count * sizeof(float)});
  comm->all_reduce(sum, ReduceOp::sum)->wait();
  const int size = comm->size();
  EXPECT_EQ(to_host<float>(*ctx_, sum.view()),
            std::vector<float>(count, static_cast<float>(size * (size + 1) / 2)));
}

TEST_F(Nccl, AWorkIsNotDoneBeforeTheLastRankHasCome) {
  auto comm = connect();
  const Tensor mine = values(3), all = values(3 * comm->size());
  fill(*ctx_, mine.view(), rank());
  ctx_->synchronize();
  if (rank() == 0) {
    const auto work = comm->all_gather(mine.view(), all);
    for (int i = 0; i < 20; ++i) {
      EXPECT_FALSE(work->test());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    test_group().world().barrier()->wait();
    work->wait();
    EXPECT_TRUE(work->test());
  } else {
    test_group().world().barrier()->wait();
    comm->all_gather(mine.view(), all)->wait();
  }
  EXPECT_EQ(to_host<float>(*ctx_, all.view()).back(), static_cast<float>(comm->size() - 1));
}

// Nor does the host wait for it: here rank 0 calls the others after its wait.
TEST_F(Nccl, TheStreamWaitsAndTheHostDoesNot) {
  if (device_works_at_once()) GTEST_SKIP() << "work is done when it is given";
  auto comm = connect(5);
  const Tensor sum = values(1000);
  fill(*ctx_, sum.view(), rank() + 1);
  const auto waits = cuda::device_calls.waits.load();
  const auto reduce = [&] { comm->all_reduce(sum.view(), ReduceOp::sum)->wait(); };
  if (rank() == 0) reduce();
  test_group().world().barrier()->wait();
  if (rank() != 0) reduce();
  scale(*ctx_, 2, sum.view());
  comm->barrier()->wait();
  EXPECT_EQ(cuda::device_calls.waits.load(), waits);
  const int size = comm->size();
  EXPECT_EQ(to_host<float>(*ctx_, sum.view()),
            std::vector<float>(1000, static_cast<float>(size * (size + 1))));
}

// The limit is a collective's, not that of all that a wait comes after.
TEST_F(Nccl, ManyCollectivesMayTakeLongerThanOneMay) {
  auto comm = connect(3);
  const Tensor mine = values(3), all = values(3 * comm->size());
  const auto gather = [&] { comm->all_gather(mine.view(), all)->wait(); };
  for (int i = 0; i < 4; ++i) {
    if (rank() != 0) std::this_thread::sleep_for(std::chrono::seconds(1));
    gather();
    if (rank() != 0) ctx_->synchronize();
  }
  EXPECT_EQ(message([&] { ctx_->synchronize(); }), "nothing was thrown");
}

// Memory that a collective uses is freed after it, while the other ranks are still to come.
TEST_F(Nccl, MemoryGoesAfterTheCollective) {
  auto comm = connect(5);
  const Tensor all = values(3 * comm->size());
  std::optional<Tensor> mine(values(3));
  fill(*ctx_, mine->view(), rank());
  comm->all_gather(mine->view(), all)->wait();
  mine.reset();
  EXPECT_EQ(to_host<float>(*ctx_, all.view()).back(), static_cast<float>(comm->size() - 1));
}

// A host that waits for messages looks after what its device does: it hears of a rank that is gone.
TEST_F(Nccl, AHostThatWaitsForMessagesHearsOfARankThatIsGone) {
  if (!device_is_emulated()) GTEST_SKIP() << "NCCL hears of a rank that aborts on other hosts alone";
  auto comm = connect(60);
  const auto messages = test_group().world().duplicate();
  const Tensor mine = values(3), all = values(3 * comm->size());
  if (rank() == 0) {
    comm->all_gather(mine.view(), all)->wait();
    EXPECT_THAT(message([&] { messages->barrier()->wait(); }),
                HasSubstr("nccl: all_gather of 3 f32 on rank 0"));
  } else {
    message([&] {
      const auto dies = std::move(comm);
      throw Error("lost");
    });
  }
}

// All communicators of a device take turns in the order of the calls.
TEST_F(Nccl, CollectivesOfTwoCommunicatorsHaveOneOrder) {
  auto one = connect(5), other = connect(5);
  const Tensor a = values(5), b = values(7);
  fill(*ctx_, a.view(), rank());
  fill(*ctx_, b.view(), 2 * rank());
  const auto first = one->all_reduce(a.view(), ReduceOp::sum);
  const auto second = other->all_reduce(b.view(), ReduceOp::sum);
  second->wait();
  first->wait();
  const int sum = sum_of_ranks();
  EXPECT_EQ(to_host<float>(*ctx_, a.view()), std::vector<float>(5, static_cast<float>(sum)));
  EXPECT_EQ(to_host<float>(*ctx_, b.view()), std::vector<float>(7, static_cast<float>(2 * sum)));
}

// By the library: the emulated one finds more than NCCL does.
TEST_F(Nccl, EmulatedFindsRanksThatDisagree) {
  if (!device_is_emulated()) GTEST_SKIP() << "NCCL compares no sizes: such ranks wait for ever";
  auto comm = connect(5);
  const int64_t n = rank() == 0 ? 4 : 5;
  const Tensor mine = values(n), all = values(n * comm->size());
  const std::string failure = message([&] { finish(comm->all_gather(mine.view(), all)); });
  comm.reset();
  const auto found = gather_bytes(test_group().world(), failure, 0);
  if (rank() != 0) return;
  std::string all_of_them;
  for (const auto& bytes : found) all_of_them += std::string(bytes.begin(), bytes.end()) + "\n";
  EXPECT_THAT(all_of_them, HasSubstr("bytes by all-gather where rank"));
}

TEST_F(Nccl, EmulatedRefusesTwoRanksOnADevice) {
  if (!device_is_emulated()) GTEST_SKIP() << "NCCL keeps what NCCL_HOSTID said first";
  const std::string before = getenv("NCCL_HOSTID") ? getenv("NCCL_HOSTID") : "";
  setenv("NCCL_HOSTID", "one", 1);
  EXPECT_THAT(message([&] { connect(); }),
              HasSubstr("Duplicate GPU detected : rank 0 and rank 1 both on one"));
  before.empty() ? unsetenv("NCCL_HOSTID") : setenv("NCCL_HOSTID", before.c_str(), 1);
}

}  // namespace
}  // namespace lime
