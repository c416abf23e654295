#include "launch/rank_bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "launch/link_bench.h"
#include "launch/run_context.h"
#include "launch/same_everywhere.h"
#include "launch/version.h"
#include "model/together.h"
#include "parallel/device_communicator.h"
#include "runtime/durable_file.h"
#include "runtime/primitives.h"
#include "runtime/stopwatch.h"

namespace lime {
namespace {

namespace fs = std::filesystem;

constexpr size_t block_bytes = size_t{4} << 20;  // of reads and writes

// `amount` a second of calls that are made for so long; `done` waits for them.
template <typename Call, typename Done>
double rate(double seconds, double amount, Call&& call, Done&& done) {
  call();
  done();
  int64_t calls = 0, at_once = 1;
  const Stopwatch watch;
  do {
    for (int64_t i = 0; i < at_once; ++i) call();
    done();
    calls += at_once;
    at_once = std::min<int64_t>(2 * at_once, 64);
  } while (watch.seconds() < seconds);
  return amount * static_cast<double>(calls) / watch.seconds();
}

// GFLOP/s of a block's first product (U, Q, K and V of a width of 128), by rows of the context's type.
double product_rate(Context& ctx, int64_t rows, double seconds) {
  constexpr int64_t width = 128, columns = 512;
  const auto sync = [&] { ctx.synchronize(); };
  const Tensor a(ctx.device(), ctx.dtype(), rows, width), b(ctx.device(), ctx.dtype(), width, columns),
      c(ctx.device(), ctx.dtype(), rows, columns);
  fill(ctx, a, 0.5);
  fill(ctx, b, 0.25);
  const double flop = 2.0 * static_cast<double>(rows * width * columns);
  return 1e-9 * rate(
                    seconds, flop,
                    [&] { gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), 0, c); }, sync);
}

// GB/s, read and written.
double host_copy_rate(int64_t bytes, double seconds) {
  const auto size = static_cast<size_t>(bytes);
  std::vector<char> from(size, 1), to(size, 2);
  return 1e-9 * rate(
                    seconds, 2.0 * static_cast<double>(bytes),
                    [&] {
                      std::memcpy(to.data(), from.data(), size);
                      from[0] = static_cast<char>(to[size - 1] + 1);
                    },
                    [] {});
}
double device_copy_rate(Context& ctx, int64_t bytes, double seconds) {
  const Tensor from(ctx.device(), DType::f32, 1, bytes / 4), to(ctx.device(), DType::f32, 1, bytes / 4);
  fill(ctx, from, 1);
  const auto sync = [&] { ctx.synchronize(); };
  return 1e-9 * rate(
                    seconds, 2.0 * static_cast<double>(from.view().bytes()),
                    [&] { ctx.stream().copy(from.view().raw(), to.view().raw(), from.view().bytes()); },
                    sync);
}
double upload_rate(Context& ctx, int64_t bytes, double seconds) {
  const auto size = static_cast<size_t>(bytes);
  const auto pinned = cuda::allocate_pinned(ctx.device().index, size),
             there = cuda::allocate(ctx.device().index, size);
  std::memset(pinned.get(), 1, size);
  const auto sync = [&] { ctx.synchronize(); };
  return 1e-9 * rate(
                    seconds, static_cast<double>(bytes),
                    [&] {
                      ctx.stream().to_device(pinned.get(), size, there.get(), size, {1, size});
                    },
                    sync);
}

struct File {
  std::string path;
  int fd;
  File(const std::string& p, int flags) : path(p), fd(open(p.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~File() {
    if (fd >= 0) close(fd);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

// MB/s of the dataset's files, each rank beginning with others, as far as possible from the disk and not from
// what the system remembers of them.
double reading_rate(const std::string& directory, int rank, int ranks, double seconds) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file() && entry.path().extension() == ".h5") files.push_back(entry.path());
  if (files.empty()) throw UserError(str("--data: ", directory, " has no files to read"));
  std::sort(files.begin(), files.end());
  std::vector<char> block(block_bytes);
  double bytes = 0;
  const Stopwatch watch;
  for (size_t i = files.size() * static_cast<size_t>(rank) / static_cast<size_t>(ranks);
       bytes == 0 || watch.seconds() < seconds; ++i) {
    const File file(files[i % files.size()], O_RDONLY);
    if (file.fd < 0) throw UserError(str(file.path, ": cannot be read: ", std::strerror(errno)));
    posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
    for (ssize_t n = 1; n > 0 && (bytes == 0 || watch.seconds() < seconds);) {
      n = read(file.fd, block.data(), block.size());
      if (n < 0) throw UserError(str(file.path, ": cannot be read: ", std::strerror(errno)));
      bytes += static_cast<double>(n);
    }
  }
  return 1e-6 * bytes / watch.seconds();
}

// MB/s of a file of this rank's own that is then on the disk.
double writing_rate(const std::string& directory, const std::string& name, int64_t file_bytes,
                    double seconds) {
  std::string block(block_bytes, '\0');
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<char>(i * 2654435761U >> 11);
  File file(directory + "/" + name, O_WRONLY | O_CREAT | O_EXCL);
  if (file.fd < 0) throw UserError(str("--out: ", file.path, " cannot be written: ", std::strerror(errno)));
  unlink(file.path.c_str());  // at once: whatever ends this leaves nothing
  int64_t bytes = 0;
  const Stopwatch watch;
  do {
    if (lseek(file.fd, 0, SEEK_SET) != 0) throw Error(str(file.path, ": lseek failed"));
    for (int64_t left = file_bytes; left > 0; left -= static_cast<int64_t>(block_bytes)) {
      const auto size = std::min(static_cast<size_t>(left), block_bytes);
      write_all(file.fd, std::string_view(block).substr(0, size), file.path);
      bytes += static_cast<int64_t>(size);
    }
    if (fsync(file.fd) != 0) throw UserError(str(file.path, ": cannot be written: ", std::strerror(errno)));
  } while (watch.seconds() < seconds);
  return 1e-6 * static_cast<double>(bytes) / watch.seconds();
}

class Measurement {
 public:
  Measurement(ProcessGroup& group, const RankBenchOptions& options,
              const std::function<void(const std::string&, int, int)>& progress)
      : group_(group), options_(options), progress_(progress) {}

  RankBench run() {
    require_places();
    open_device();
    bench_.device = to_string(f32_->device());
    if (on_device()) bench_.device = "cuda";
    name_hosts();
    bench_.processors = all_gather_texts(group_.world(), cpu_model());
    const int64_t rows = options_.product_rows > 0 ? options_.product_rows : on_device() ? 65536 : 512;
    const double seconds = options_.seconds;
    total_ = 3 + (on_device() ? 3 : 0) + !options_.data.empty() + !options_.out.empty() +
             (group_.size() > 1) + (several_hosts() ? 1 : 0);
    measure("products", "GFLOP/s", [&] { return product_rate(*f32_, rows, seconds); });
    if (on_device()) {
      measure("products bf16", "GFLOP/s", [&] { return product_rate(*bf16_, rows, seconds); });
      measure("device copies", "GB/s", [&] { return device_copy_rate(*f32_, options_.copy_bytes, seconds); });
      measure("host to device", "GB/s", [&] { return upload_rate(*f32_, options_.copy_bytes, seconds); });
    }
    measure("copies", "GB/s", [&] { return host_copy_rate(options_.copy_bytes, seconds); });
    if (!options_.data.empty())
      measure("reading", "MB/s",
              [&] { return reading_rate(options_.data, group_.rank(), group_.size(), seconds); });
    if (!options_.out.empty())
      measure("writing", "MB/s", [&] {
        const std::string name = str(".lime-bench-", group_.host(), "-", getpid());
        return writing_rate(options_.out, name, options_.file_bytes, seconds);
      });
    begin("bits");
    std::string digest;
    together(group_.world(), [&] { digest = digest_of_layers(f32_->device()); });
    bench_.digests = all_gather_texts(group_.world(), digest);
    if (group_.size() > 1) {
      begin("collectives");
      const auto comm = make_device_communicator(group_.world(), *f32_);
      bench_.transport = comm->name();
      bench_.collectives = time_collectives(group_, *f32_, *comm, seconds / 3, options_.message_bytes);
    }
    if (several_hosts()) {
      begin("links between hosts");
      bench_.links = time_links(group_, bench_.host_of);
    }
    if (progress_) progress_("", total_, total_);
    return std::move(bench_);
  }

 private:
  bool on_device() const { return f32_->device().type == DeviceType::cuda; }
  bool several_hosts() const { return bench_.hosts.size() > 1; }

  void require_places() {
    if (!options_.data.empty()) open_everywhere(group_, options_.data);
    if (options_.out.empty()) return;
    together(group_.world(), [&] {
      if (!fs::is_directory(options_.out))
        throw UserError(str("--out: on ", group_.host(), " there is no directory ", options_.out));
    });
    require_shared_directory(group_, options_.out);
  }

  void open_device() {
    together(group_.world(), [&] {
      const Device device = device_of_rank(options_.device, group_);
      f32_.emplace(device, Precision::f32);
      if (on_device()) bf16_.emplace(device, Precision::bf16);
    });
  }

  void name_hosts() {
    for (const std::string& host : all_gather_texts(group_.world(), group_.host())) {
      const auto found = std::find(bench_.hosts.begin(), bench_.hosts.end(), host);
      bench_.host_of.push_back(static_cast<int>(found - bench_.hosts.begin()));
      if (found == bench_.hosts.end()) bench_.hosts.push_back(host);
    }
  }

  void begin(const std::string& what) {
    if (progress_) progress_(what, done_, total_);
    ++done_;
    group_.world().barrier()->wait();
  }

  void measure(const std::string& name, const std::string& unit, const std::function<double()>& body) {
    begin(name);
    double mine = 0;
    together(group_.world(), [&] { mine = body(); });
    bench_.rates.push_back({name, unit, all_gather_values(group_.world(), std::span<const double>(&mine, 1)),
                            name == "reading" || name == "writing"});
  }

  ProcessGroup& group_;
  const RankBenchOptions& options_;
  const std::function<void(const std::string&, int, int)>& progress_;
  std::optional<RunContext> f32_, bf16_;
  RankBench bench_;
  int done_ = 0, total_ = 0;
};

}  // namespace

RankBench measure_ranks(ProcessGroup& group, const RankBenchOptions& options,
                        const std::function<void(const std::string&, int, int)>& progress) {
  return Measurement(group, options, progress).run();
}

}  // namespace lime
