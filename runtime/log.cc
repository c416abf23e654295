#include "runtime/log.h"

#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>

#include "runtime/error.h"

namespace lime {

namespace {

#ifdef LIME_GLOG_TIME_IS_TM  // glog before 0.5
using MessageTime = const std::tm*;
const std::tm& calendar(MessageTime time) { return *time; }
#else
using MessageTime = const google::LogMessageTime&;
const std::tm& calendar(MessageTime time) { return time.tm(); }
#endif

// A sink of our own instead of glog's files and prefix: a custom prefix is a build option that a packaged
// glog may lack.
class RankSink : public google::LogSink {
 public:
  RankSink(int rank, int size, bool verbose, const std::string& file)
      : rank_(rank), prefix_(size > 1 ? str("[rank ", rank, "/", size, "] ") : ""), verbose_(verbose) {
    if (file.empty()) return;
    file_.reset(std::fopen(file.c_str(), "a"));
    if (!file_)
      throw UserError(str("log file '", file, "' cannot be written: expected a path in an existing folder"));
  }

  using google::LogSink::send;
  void send(google::LogSeverity severity, const char*, const char* name, int line, MessageTime time,
            const char* message, size_t length) override {
    char stamp[32];
    std::strftime(stamp, sizeof(stamp), "%m-%d %H:%M:%S", &calendar(time));
    const std::string text = str(prefix_, google::GetLogSeverityName(severity)[0], " ", stamp, " ", name, ":",
                                 line, "] ", std::string_view(message, length), "\n");
    const bool quiet = severity == google::GLOG_INFO && rank_ != 0 && !verbose_;
    // One write a line, so that lines of several ranks do not mix.
    if (!quiet) std::fwrite(text.data(), 1, text.size(), stderr);
    if (file_) {
      const std::lock_guard lock(mutex_);
      std::fwrite(text.data(), 1, text.size(), file_.get());
      std::fflush(file_.get());
    }
  }

 private:
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  int rank_;
  std::string prefix_;
  bool verbose_;
  std::mutex mutex_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace

void start_logging(const char* program, int rank, int size, bool verbose, const std::string& file) {
  // Not std::call_once: on Ubuntu 22.04 glog brings libunwind, and an exception that goes through glibc's
  // pthread_once aborts.
  [[maybe_unused]] static const bool started = [&] {
    auto sink = std::make_unique<RankSink>(rank, size, verbose, file);
    google::InitGoogleLogging(program);
    for (int severity = 0; severity < google::NUM_SEVERITIES; ++severity)
      google::SetLogDestination(severity, "");
    FLAGS_stderrthreshold = google::NUM_SEVERITIES;  // the sink writes to stderr
    google::AddLogSink(sink.release());              // for the life of the process
    return true;
  }();
}

}  // namespace lime
