// What the ordered all-reduce costs against MPI_Allreduce, whose order of summation MPI chooses: f32, in
// place, one run.
//
//   mpirun -np 2 bench_allreduce [largest MB]
//
// Each pair is timed in alternating rounds, each round begins at a barrier and counts its slowest rank; the
// table shows the fastest of 30 rounds, which other work on the machine disturbs least. busbw = 2 (n-1)/n *
// bytes / time: the bytes that any all-reduce must move in and out of a rank, over the time. A wrong sum ends
// the run instead of being timed.
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "parallel/process_group.h"

namespace lime {
namespace {

double slowest(double seconds) {
  double all = 0;
  MPI_Allreduce(&seconds, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return all;
}

// Seconds a call of f, the slowest rank's.
template <typename F>
double time_round(int calls, F&& f) {
  MPI_Barrier(MPI_COMM_WORLD);
  const double begin = MPI_Wtime();
  for (int i = 0; i < calls; ++i) f();
  return slowest((MPI_Wtime() - begin) / calls);
}

void run(ProcessGroup& group, int64_t largest_bytes) {
  const int n = group.size();
  Communicator& comm = group.world();
  if (group.rank() == 0) {
    std::printf("%d ranks, f32\n%10s %14s %14s %12s %12s %8s\n", n, "bytes", "ordered us", "MPI us",
                "ordered GB/s", "MPI GB/s", "ratio");
  }
  for (int64_t bytes = 1 << 10; bytes <= largest_bytes; bytes *= 4) {
    const int64_t count = bytes / 4;
    std::vector<float> buffer(static_cast<size_t>(count));
    const View view(buffer.data(), 1, count);
    const auto ordered = [&] { comm.all_reduce(view, ReduceOp::sum)->wait(); };
    const auto plain = [&] {
      MPI_Allreduce(MPI_IN_PLACE, buffer.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    };
    for (int64_t i = 0; i < count; ++i)
      buffer[static_cast<size_t>(i)] = static_cast<float>(i % 1000 + group.rank());
    ordered();
    for (int64_t i = 0; i < count; ++i) {
      const auto expected = static_cast<float>(i % 1000 * n + n * (n - 1) / 2);
      if (buffer[static_cast<size_t>(i)] != expected) group.abort(str("wrong sum at ", i, " of ", count), 1);
    }
    std::fill(buffer.begin(), buffer.end(), 0.0f);  // stays finite however often it is summed
    const int calls = static_cast<int>(std::clamp<int64_t>((int64_t{1} << 20) / bytes, 1, 50));
    double a = 1e9, b = 1e9;
    for (int round = 0; round < 30; ++round) {
      a = std::min(a, time_round(calls, ordered));
      b = std::min(b, time_round(calls, plain));
    }
    const double moved = 2.0 * (n - 1) / n * static_cast<double>(bytes) * 1e-9;
    if (group.rank() == 0) {
      std::printf("%10lld %14.1f %14.1f %12.3f %12.3f %8.2f\n", static_cast<long long>(bytes), a * 1e6,
                  b * 1e6, moved / a, moved / b, a / b);
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace lime

int main(int argc, char** argv) {
  lime::ProcessGroup group(&argc, &argv);
  if (group.size() == 1) group.abort("one rank has nothing to reduce: start it with mpirun -np 2", 2);
  try {
    lime::run(group, int64_t{argc > 1 ? std::atoi(argv[1]) : 64} << 20);
  } catch (const lime::Error& e) {
    group.abort(e.what(), 1);
  }
  return 0;
}
