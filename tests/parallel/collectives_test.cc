// Every collective against plain MPI or a closed form; sums of rough floats against a serial sum along the
// tree.
#include <gtest/gtest.h>
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "tests/parallel/reference_sum.h"
#include "tests/parallel/transports.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

template <typename T>
constexpr MPI_Datatype mpi_type() {
  return std::is_same_v<T, float> ? MPI_FLOAT : std::is_same_v<T, double> ? MPI_DOUBLE : MPI_INT64_T;
}

const std::vector<int64_t> sizes{0, 1, 2, 3, 5, 64, 257, 4099, 20011};

class Collectives : public testing::TestWithParam<Transport> {
 protected:
  void SetUp() override {
    if (!connection_->missing.empty()) GTEST_SKIP() << connection_->missing;
    comm_ = &connection_->communicator();
  }
  static void TearDownTestSuite() { connections_.clear(); }

  std::shared_ptr<Connection> connection_ = connect(GetParam());
  Communicator* comm_ = nullptr;
  int rank_ = test_group().rank(), size_ = test_group().size();

  // The values on the communicator's device, and back.
  template <typename T>
  Tensor put(const std::vector<T>& values) {
    Tensor tensor(comm_->device(), dtype_of<T>(), 1, static_cast<int64_t>(values.size()));
    const size_t bytes = values.size() * sizeof(T);
    if (comm_->device() != Device{}) {
      connection_->ctx->stream().to_device(values.data(), bytes, tensor.view().raw(), bytes, {1, bytes});
    } else if (bytes > 0) {
      std::memcpy(tensor.view().raw(), values.data(), bytes);
    }
    return tensor;
  }
  template <typename T>
  void get(const Tensor& tensor, std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    if (comm_->device() != Device{}) {
      connection_->ctx->stream().to_host(tensor.view().raw(), bytes, values.data(), bytes, {1, bytes});
      connection_->ctx->synchronize();
    } else if (bytes > 0) {
      std::memcpy(values.data(), tensor.view().raw(), bytes);
    }
  }

  // Collectives over values: they become what the collective leaves.
  template <typename T>
  void all_reduce(std::vector<T>& values, ReduceOp op) {
    const Tensor buffer = put(values);
    comm_->all_reduce(buffer, op)->wait();
    get(buffer, values);
  }
  template <typename T>
  void broadcast(std::vector<T>& values, int root) {
    const Tensor buffer = put(values);
    comm_->broadcast(buffer, root)->wait();
    get(buffer, values);
  }
  template <typename T, typename Collective>
  void exchange(const std::vector<T>& in, std::vector<T>& out, Collective collective) {
    const Tensor from = put(in), to = put(out);
    collective(from.view(), to.view())->wait();
    get(to, out);
  }
  template <typename T>
  void all_gather(const std::vector<T>& in, std::vector<T>& out) {
    exchange(in, out, [&](const ConstView& a, const View& b) { return comm_->all_gather(a, b); });
  }

  // The test's own view of what the others hold: inputs are functions of the rank.
  template <typename T>
  std::vector<std::vector<T>> everyones(int64_t n, uint64_t key,
                                        std::vector<T> (*values)(int64_t, uint64_t)) const {
    std::vector<std::vector<T>> all;
    for (int r = 0; r < size_; ++r) all.push_back(values(n, key + static_cast<uint64_t>(r)));
    return all;
  }
  size_t me() const { return static_cast<size_t>(rank_); }

 private:
  static std::shared_ptr<Connection> connect(Transport transport) {
    auto& connection = connections_[transport];
    if (!connection) connection = std::make_shared<Connection>(transport);
    return connection;
  }
  static inline std::map<Transport, std::shared_ptr<Connection>> connections_;

 protected:
  template <typename T>
  void check_all_reduce() {
    for (const int64_t n : sizes) {
      const auto whole = everyones<T>(n, 10, whole_values<T>);
      for (const auto& [op, mpi_op] :
           {std::pair{ReduceOp::sum, MPI_SUM}, {ReduceOp::max, MPI_MAX}, {ReduceOp::min, MPI_MIN}}) {
        auto got = whole[me()];
        all_reduce(got, op);
        auto expected = whole[me()];
        if (size_ > 1) {
          MPI_Allreduce(MPI_IN_PLACE, expected.data(), static_cast<int>(n), mpi_type<T>(), mpi_op,
                        MPI_COMM_WORLD);
        }
        ASSERT_TRUE(same_bits(got, expected)) << n << " values, op " << static_cast<int>(op);
      }
      const auto rough = everyones<T>(n, 20, rough_values<T>);
      auto got = rough[me()];
      all_reduce(got, ReduceOp::sum);
      ASSERT_TRUE(same_bits(got, reference_tree_sum(rough))) << n << " rough values";
    }
  }

  template <typename T>
  void check_reduce_scatter() {
    for (const int64_t n : sizes) {
      const auto all = everyones<T>(n * size_, 30, rough_values<T>);
      std::vector<T> out(static_cast<size_t>(n), T(-1));
      exchange(all[me()], out,
               [&](const ConstView& a, const View& b) { return comm_->reduce_scatter(a, b); });
      const auto sum = reference_tree_sum(all);
      const auto begin = sum.begin() + rank_ * n;
      ASSERT_TRUE(same_bits(out, std::vector<T>(begin, begin + n))) << n;
    }
  }

  template <typename T>
  void check_all_gather() {
    for (const int64_t n : sizes) {
      const auto all = everyones<T>(n, 40, rough_values<T>);
      std::vector<T> out(static_cast<size_t>(n * size_), T(-1)), expected;
      all_gather(all[me()], out);
      for (const auto& part : all) expected.insert(expected.end(), part.begin(), part.end());
      ASSERT_TRUE(same_bits(out, expected)) << n;
    }
  }

  // From rank s to rank r go count(s, r) elements; some pairs exchange nothing.
  int64_t count(int s, int r, int64_t scale) const { return (s + 2 * r) % 3 == 0 ? 0 : scale * (1 + s) + r; }

  template <typename T>
  void check_all_to_all_v() {
    for (const int64_t scale : {0, 1, 17, 3001}) {
      std::vector<int64_t> send_counts, recv_counts;
      std::vector<T> send, expected;
      for (int r = 0; r < size_; ++r) {
        send_counts.push_back(count(rank_, r, scale));
        recv_counts.push_back(count(r, rank_, scale));
        const auto out = rough_values<T>(send_counts.back(), static_cast<uint64_t>(1000 * rank_ + r));
        const auto in = rough_values<T>(recv_counts.back(), static_cast<uint64_t>(1000 * r + rank_));
        send.insert(send.end(), out.begin(), out.end());
        expected.insert(expected.end(), in.begin(), in.end());
      }
      std::vector<T> recv(expected.size(), T(-1));
      exchange(send, recv, [&](const ConstView& a, const View& b) {
        return comm_->all_to_all_v(a, send_counts, b, recv_counts);
      });
      ASSERT_TRUE(same_bits(recv, expected)) << "scale " << scale;
    }
  }

  template <typename T>
  void check_broadcast() {
    for (const int64_t n : sizes) {
      for (int root = 0; root < size_; ++root) {
        auto data = rough_values<T>(n, static_cast<uint64_t>(50 + rank_));
        broadcast(data, root);
        ASSERT_TRUE(same_bits(data, rough_values<T>(n, static_cast<uint64_t>(50 + root))))
            << n << " from " << root;
      }
    }
  }
};

INSTANTIATE_TEST_SUITE_P(All, Collectives, testing::ValuesIn(transports()),
                         [](const auto& transport) { return to_string(transport.param); });

TEST_P(Collectives, KnowsItsRanks) {
  EXPECT_EQ(comm_->rank(), test_group().rank());
  EXPECT_EQ(comm_->size(), test_group().size());
  const bool on_device = GetParam() == Transport::staged || GetParam() == Transport::nccl;
  EXPECT_EQ(comm_->device().type, on_device ? DeviceType::cuda : DeviceType::cpu);
  EXPECT_STREQ(comm_->name(), on_device ? to_string(GetParam()) : size_ == 1 ? "self" : "mpi");
}

TEST_P(Collectives, AllReduceF32) { check_all_reduce<float>(); }
TEST_P(Collectives, AllReduceF64) { check_all_reduce<double>(); }
TEST_P(Collectives, AllReduceI64) { check_all_reduce<int64_t>(); }
TEST_P(Collectives, ReduceScatterF32) { check_reduce_scatter<float>(); }
TEST_P(Collectives, ReduceScatterF64) { check_reduce_scatter<double>(); }
TEST_P(Collectives, ReduceScatterI64) { check_reduce_scatter<int64_t>(); }
TEST_P(Collectives, AllGatherF32) { check_all_gather<float>(); }
TEST_P(Collectives, AllGatherF64) { check_all_gather<double>(); }
TEST_P(Collectives, AllGatherI64) { check_all_gather<int64_t>(); }
TEST_P(Collectives, AllToAllF32) { check_all_to_all_v<float>(); }
TEST_P(Collectives, AllToAllF64) { check_all_to_all_v<double>(); }
TEST_P(Collectives, AllToAllI64) { check_all_to_all_v<int64_t>(); }
TEST_P(Collectives, BroadcastF32) { check_broadcast<float>(); }
TEST_P(Collectives, BroadcastF64) { check_broadcast<double>(); }
TEST_P(Collectives, BroadcastI64) { check_broadcast<int64_t>(); }

TEST_P(Collectives, TheSumDoesNotDependOnTheMessageSizes) {
  auto a = rough_values<float>(5000, static_cast<uint64_t>(rank_));
  auto b = a;
  all_reduce(a, ReduceOp::sum);
  test_group().world().all_reduce(view_of(b), ReduceOp::sum)->wait();
  EXPECT_TRUE(same_bits(a, b));
}

TEST_P(Collectives, AllRanksChooseTheSameOfEqualValuesAndNaN) {
  std::vector<float> values(8, rank_ == 0 ? 0.0f : -0.0f);
  for (int r = 0; r < size_ && r < 4; ++r) values[static_cast<size_t>(4 + r)] = r == rank_ ? NAN : 1.0f;
  for (const ReduceOp op : {ReduceOp::max, ReduceOp::min}) {
    auto result = values;
    all_reduce(result, op);
    std::vector<float> all(8 * static_cast<size_t>(size_));
    all_gather(result, all);
    for (int r = 0; r < size_; ++r) {
      EXPECT_TRUE(same_bits(result, std::vector<float>(all.begin() + 8 * r, all.begin() + 8 * (r + 1))));
    }
  }
}

TEST_P(Collectives, NobodyLeavesABarrierBeforeTheLastHasCome) {
  // One clock for all processes of a host.
  const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  for (int last = 0; last < size_; ++last) {
    if (rank_ == last) usleep(5000);
    std::vector<int64_t> arrival{now()};
    comm_->barrier()->wait();
    if (comm_->device() != Device{}) connection_->ctx->synchronize();  // a barrier of its stream
    const int64_t departure = now();
    all_reduce(arrival, ReduceOp::max);
    EXPECT_GE(departure, arrival[0]);
  }
}

TEST_P(Collectives, ValuesBytesAndCounts) {
  if (comm_->device() != Device{}) GTEST_SKIP() << "helpers over host memory";
  const std::vector<int64_t> mine{rank_, 10 * rank_};
  const auto all = all_gather_values(*comm_, mine);
  const std::vector<double> mine_real{0.5 * rank_};
  const auto all_real = all_gather_values(*comm_, mine_real);
  ASSERT_EQ(all.size(), 2 * static_cast<size_t>(size_));
  for (int r = 0; r < size_; ++r) {
    EXPECT_EQ(all[2 * static_cast<size_t>(r)], r);
    EXPECT_EQ(all[2 * static_cast<size_t>(r) + 1], 10 * r);
    EXPECT_EQ(all_real[static_cast<size_t>(r)], 0.5 * r);
  }
  EXPECT_TRUE(all_gather_values(*comm_, std::span<const int64_t>()).empty());

  const auto text_of = [](int r) { return std::string(r == 1 ? 0 : static_cast<size_t>(5 * r + 3), 'k'); };
  const auto texts = all_gather_texts(*comm_, text_of(rank_));
  ASSERT_EQ(texts.size(), static_cast<size_t>(size_));
  for (int r = 0; r < size_; ++r) EXPECT_EQ(texts[static_cast<size_t>(r)], text_of(r));

  for (int root = 0; root < size_; ++root) {
    for (const size_t n : {0, 1, 7, 8, 9, 1000}) {
      std::vector<char> bytes(rank_ == root ? n : 3, static_cast<char>('a' + rank_));
      broadcast_bytes(*comm_, bytes, root);
      EXPECT_EQ(bytes, std::vector<char>(n, static_cast<char>('a' + root)));
    }
    // Lengths differ by rank; rank 1 has none.
    const auto length = [](int r) { return r == 1 ? size_t{0} : static_cast<size_t>(5 * r + 3); };
    const std::vector<char> own(length(rank_), static_cast<char>('A' + rank_));
    const auto gathered = gather_bytes(*comm_, own, root);
    if (rank_ != root) {
      EXPECT_TRUE(gathered.empty());
      continue;
    }
    ASSERT_EQ(gathered.size(), static_cast<size_t>(size_));
    for (int r = 0; r < size_; ++r) {
      EXPECT_EQ(gathered[static_cast<size_t>(r)], std::vector<char>(length(r), static_cast<char>('A' + r)));
    }
  }
}

TEST_P(Collectives, RefusesWrongArguments) {
  const auto floats = [&](size_t n) { return put(std::vector<float>(n)); };
  const Tensor a = floats(6), b = floats(6 * static_cast<size_t>(size_) + 1);
  const Tensor d = put(std::vector<double>(6 * static_cast<size_t>(size_)));
  EXPECT_THROW(comm_->all_gather(a.view(), b), Error);
  EXPECT_THROW(comm_->all_gather(a.view(), d), Error);
  EXPECT_THROW(comm_->reduce_scatter(b.view(), a), Error);
  EXPECT_THROW(comm_->broadcast(a, size_), Error);
  const View rows(a.view().raw(), DType::f32, comm_->device(), 2, 3, 3);
  EXPECT_THROW(comm_->all_reduce(rows.slice_cols(0, 2), ReduceOp::sum), Error);
  const std::vector<int64_t> counts(static_cast<size_t>(size_), 7);
  EXPECT_THROW(comm_->all_to_all_v(a.view(), counts, a, counts), Error);
  const std::vector<int64_t> negative(static_cast<size_t>(size_) + 1, 0);
  EXPECT_THROW(comm_->all_to_all_v(ConstView(), negative, View(), negative), Error);
}

TEST_P(Collectives, RefusesMemoryOfAnotherDevice) {
  if (comm_->device() == Device{}) GTEST_SKIP() << "a communicator of host memory";
  std::vector<float> values(6);
  try {
    comm_->all_reduce(view_of(values), ReduceOp::sum)->wait();
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("takes memory of cuda:"), std::string::npos) << e.what();
  }
}

// Works of one communicator, under way together and waited for in another order on every rank.
TEST_P(Collectives, SeveralAreUnderWay) {
  constexpr int64_t works = 4;
  std::vector<Tensor> buffers;
  std::vector<WorkPtr> under_way;
  for (int64_t w = 0; w < works; ++w) {
    buffers.push_back(put(rough_values<float>(1000 + w, static_cast<uint64_t>(100 * w + rank_))));
    under_way.push_back(comm_->all_reduce(buffers.back(), ReduceOp::sum));
  }
  for (int64_t i = 0; i < works; ++i) {
    const auto w = static_cast<size_t>((i + rank_) % works);
    under_way[w]->wait();
    std::vector<float> got(1000 + w);
    get(buffers[w], got);
    EXPECT_TRUE(same_bits(got, reference_tree_sum(everyones<float>(1000 + static_cast<int64_t>(w), 100 * w,
                                                                   rough_values<float>))));
  }
}

// Rank 0 sends fewer, then more, than the others expect.
TEST_P(Collectives, CountsThatDisagreeAreAnErrorThatNamesThem) {
  if (size_ != 2) GTEST_SKIP() << "needs two ranks";
  if (GetParam() == Transport::nccl) GTEST_SKIP() << "NCCL compares no counts: such ranks run into its limit";
  for (const int64_t sent : {3, 5}) {
    auto comm = comm_->duplicate();
    std::vector<int64_t> send_counts{0, rank_ == 0 ? sent : 0}, recv_counts{0, 0};
    if (rank_ == 1) recv_counts = {4, 0};
    const Tensor send = put(std::vector<float>(rank_ == 0 ? static_cast<size_t>(sent) : 0));
    const Tensor recv = put(std::vector<float>(rank_ == 1 ? 4 : 0));
    const auto disagree = [&] { comm->all_to_all_v(send.view(), send_counts, recv, recv_counts)->wait(); };
    if (rank_ == 0) {
      disagree();
    } else {
      try {
        disagree();
        ADD_FAILURE() << "accepted " << sent << " values where 4 were expected";
      } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("all_to_all_v of"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find("rank 1/2"), std::string::npos) << e.what();
      }
    }
    comm_->barrier()->wait();
  }
}

TEST(Group, LocalRanksCountUpOnEachHost) {
  ProcessGroup& group = test_group();
  ASSERT_FALSE(group.host().empty());
  std::vector<std::vector<char>> hosts = gather_bytes(group.world(), group.host(), 0);
  std::vector<int64_t> local;
  for (size_t r = 0; r < hosts.size(); ++r)
    local.push_back(std::count(hosts.begin(), hosts.begin() + static_cast<std::ptrdiff_t>(r), hosts[r]));
  local.resize(static_cast<size_t>(group.size()));
  group.world().broadcast(View(local.data(), 1, group.size()), 0)->wait();
  EXPECT_EQ(group.local_rank(), local[static_cast<size_t>(group.rank())]);
}

TEST(Group, ADeviceWithoutANumberIsTheRanksOwn) {
  EXPECT_EQ(device_of_rank("cpu", test_group()), Device{});
  EXPECT_EQ(device_of_rank("cuda", test_group()), (Device{DeviceType::cuda, test_group().local_rank()}));
  EXPECT_EQ(device_of_rank("cuda:0", test_group()), (Device{DeviceType::cuda, 0}));
  EXPECT_EQ(device_of_rank("cuda:5", test_group()), (Device{DeviceType::cuda, 5}));
  EXPECT_THROW(device_of_rank("gpu", test_group()), UserError);
}

TEST(Group, DevicesHaveTheirCommunicator) {
  Context host;
  EXPECT_EQ(make_device_communicator(test_group().world(), host)->device(), Device{});
  const Device device{DeviceType::cuda, 0};
  if (const std::string missing = skip_reason(device); !missing.empty()) GTEST_SKIP() << missing;
  Context ctx(device);
  const auto comm = make_device_communicator(test_group().world(), ctx);  // one device for all ranks
  EXPECT_EQ(comm->device(), device);
  EXPECT_STREQ(comm->name(), test_group().size() == 1 ? "self" : "staged");
  EXPECT_EQ(ranks_share_a_device(test_group().world(), device), test_group().size() > 1);
}

}  // namespace
}  // namespace lime
