// Started under mpirun by failing_rank_test: rank 1 fails in the way its argument names, the others wait for
// it.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "parallel/process_group.h"
#include "runtime/error.h"

int main(int argc, char** argv) {
  lime::ProcessGroup group(&argc, &argv);
  const std::string how = argc > 1 ? argv[1] : "";
  group.world().barrier()->wait();
  if (group.rank() == 1) {
    if (how == "abort") group.abort("disk quota exceeded", 7);
    if (how == "throw") throw lime::Error("a broken invariant");
    if (how == "kill") raise(SIGKILL);
    if (how == "exit") _exit(5);
    if (how == "silent") pause();
    if (how == "unwind") {
      try {
        lime::ProcessGroup* gone = &group;
        struct Leave {
          ~Leave() { group->~ProcessGroup(); }  // what leaving main's scope by an exception does
          lime::ProcessGroup* group;
        } leave{gone};
        throw lime::Error("nobody prints this");
      } catch (const lime::Error&) {
      }
    }
  }
  std::vector<float> values(1 << 20, 1.0f);
  const auto view = lime::View(values.data(), 1, static_cast<int64_t>(values.size()));
  group.world().all_reduce(view, lime::ReduceOp::sum)->wait();
  if (how == "counts") {  // the ranks disagree about the size
    group.world().all_reduce(lime::View(values.data(), 1, 1000 + group.rank()), lime::ReduceOp::sum)->wait();
  }
  std::printf("rank %d came through\n", group.rank());
  return 0;
}
