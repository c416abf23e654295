#include "parallel/process_group.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

#include "parallel/comm_mpi.h"
#include "parallel/mpi_greeting.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr double meeting_limit_s = 120;  // for all ranks to reach each other

bool started_by_mpi_launcher() {
  // Open MPI's mpirun; Hydra and Slurm's PMI; anything that speaks PMIx.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"}) {
    if (std::getenv(name)) return true;
  }
  return false;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown-host";
}

// LIME_WAIT_LIMIT_S, or `otherwise`.
double wait_limit_s(double otherwise) {
  const char* text = std::getenv("LIME_WAIT_LIMIT_S");
  if (!text) return otherwise;
  char* end = nullptr;
  const double seconds = std::strtod(text, &end);
  if (end == text || *end != '\0' || !std::isfinite(seconds) || seconds <= 0)
    throw UserError(str("LIME_WAIT_LIMIT_S: found '", text, "', expected seconds, more than 0"));
  return seconds;
}

// "[rank 3/8 host] " for the lines of a dying job; set while MPI runs.
std::string die_prefix;

[[noreturn]] void end_job(const std::string& reason, int exit_code) {
  std::fflush(nullptr);
  std::fprintf(stderr, "%s%s\n", die_prefix.c_str(), reason.c_str());
  std::fflush(stderr);
  // MPI's own notice takes another way to the launcher than stderr does: give the reason time to be first.
  usleep(250'000);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);  // MPI_Abort is allowed to return
}

// An exception that nobody catches would end this rank only, and the others by a signal without a reason.
[[noreturn]] void end_job_on_terminate() {
  std::string reason = "terminated";
  int exit_code = 1;
  if (const std::exception_ptr error = std::current_exception()) {
    try {
      std::rethrow_exception(error);
    } catch (const UserError& e) {
      reason = str("lime: error: ", e.what());
      exit_code = 2;
    } catch (const std::exception& e) {
      reason = e.what();
    } catch (...) {
      reason = "terminated by an exception of unknown type";
    }
  }
  end_job(reason, exit_code);
}

}  // namespace

struct ProcessGroup::Impl {
  int rank = 0, size = 1, local_rank = 0, local_size = 1, host_leader = 0;
  std::string host = host_name();
  bool mpi = false;
  std::terminate_handler previous_terminate = nullptr;
  std::unique_ptr<Communicator> world;
};

ProcessGroup::ProcessGroup(int* argc, char*** argv) : impl_(std::make_unique<Impl>()) {
  if (!started_by_mpi_launcher()) {
    impl_->world = make_self_communicator();
    return;
  }
  int provided = 0;
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  LIME_CHECK(provided >= MPI_THREAD_FUNNELED, "this MPI library has no thread support");
  impl_->mpi = true;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &impl_->rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &impl_->size), "MPI_Comm_size");
  die_prefix = str("[rank ", impl_->rank, "/", impl_->size, " ", impl_->host, "] ");
  impl_->previous_terminate = std::set_terminate(end_job_on_terminate);
  MpiTuning tuning;
  tuning.wait_limit_s = wait_limit_s(tuning.wait_limit_s);
  greet_all_ranks(std::min(tuning.wait_limit_s, meeting_limit_s));

  MPI_Comm local = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local),
            "MPI_Comm_split_type");
  check_mpi(MPI_Comm_rank(local, &impl_->local_rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(local, &impl_->local_size), "MPI_Comm_size");
  impl_->host_leader = impl_->rank;
  check_mpi(MPI_Bcast(&impl_->host_leader, 1, MPI_INT, 0, local), "MPI_Bcast");
  MPI_Comm_free(&local);
  if (impl_->size == 1) {
    impl_->world = make_self_communicator();
    return;
  }
  if (impl_->local_size > static_cast<int>(std::thread::hardware_concurrency())) tuning.spins = 50;
  impl_->world = make_mpi_communicator(tuning);
}

ProcessGroup::~ProcessGroup() {
  if (!impl_->mpi) return;
  // Left by an exception: the other ranks may be inside a collective, and MPI_Finalize would wait for them
  // forever.
  if (std::uncaught_exceptions() > 0) end_job("left by an exception", 1);
  impl_->world.reset();
  std::set_terminate(impl_->previous_terminate);
  MPI_Finalize();
}

int ProcessGroup::rank() const { return impl_->rank; }
int ProcessGroup::size() const { return impl_->size; }
int ProcessGroup::local_rank() const { return impl_->local_rank; }
int ProcessGroup::local_size() const { return impl_->local_size; }
int ProcessGroup::host_leader() const { return impl_->host_leader; }
std::string ProcessGroup::host() const { return impl_->host; }
Communicator& ProcessGroup::world() { return *impl_->world; }

std::unique_ptr<Communicator> ProcessGroup::split(int colour) {
  if (impl_->size > 1) return split_mpi_communicator(world(), colour);
  return colour < 0 ? nullptr : make_self_communicator();
}

void ProcessGroup::abort(const std::string& reason, int exit_code) {
  if (impl_->mpi) end_job(reason, exit_code);
  std::fflush(nullptr);
  std::fprintf(stderr, "[rank 0/1 %s] %s\n", impl_->host.c_str(), reason.c_str());
  std::fflush(nullptr);
  std::_Exit(exit_code);
}

}  // namespace lime
