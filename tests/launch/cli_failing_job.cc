// A job whose ranks fail in the way of its argument, as main() reports it (launch/failure.h).
#include <new>
#include <string>

#include "launch/failure.h"
#include "runtime/error.h"

namespace {

using namespace lime;

void fail(const std::string& how, ProcessGroup& group) {
  const bool last = group.rank() + 1 == group.size();
  if (how == "different") throw UserError(str("file of rank ", group.rank(), " is broken"));
  if (how == "user" && last) throw UserError("file of the last rank is broken");
  if (how == "internal" && last) throw Error("an invariant of the last rank");
  if (how == "memory" && last) throw std::bad_alloc();
  if (how == "internal_all") throw Error("an invariant");
  group.world().barrier()->wait();  // the others wait for one that never comes
}

}  // namespace

int main(int argc, char** argv) {
  ProcessGroup group(&argc, &argv);
  FailureReporter failures(group);
  try {
    fail(argv[1], group);
  } catch (const std::exception& error) {
    return failures.report(error);
  }
  return 0;
}
