#include "runtime/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "runtime/error.h"

namespace lime {
namespace {

[[noreturn]] void cannot_be_written(const std::string& path, int error) {
  throw UserError(str(path, ": cannot be written: ", std::strerror(error)));
}

// 0, or errno.
int try_write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

// 0, or errno.
int try_write_file(const std::string& path, std::string_view text) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return errno;
  int error = try_write_all(descriptor, text);
  if (error == 0 && ::fsync(descriptor) != 0) error = errno;
  if (::close(descriptor) != 0 && error == 0) error = errno;
  return error;
}

}  // namespace

void sync_path(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int reason = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!synced) throw UserError(str(path, ": cannot sync: ", std::strerror(reason)));
}

void write_durably(const std::string& path, std::string_view text) {
  if (const int error = try_write_file(path, text)) cannot_be_written(path, error);
}

bool is_stream(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code status;
  const auto kind = fs::status(path, status);
  if (fs::exists(kind) && !fs::is_regular_file(kind) && !fs::is_directory(kind)) return true;
  const fs::path folder = fs::weakly_canonical(fs::path(path).parent_path(), status);
  return folder == "/dev" || folder.string().starts_with("/proc/");
}

void write_file_atomically(const std::string& path, std::string_view text) {
  if (is_stream(path)) throw UserError(str(path, ": is a device or pipe, expected a file to write"));
  const std::string partial = path + ".partial";
  int error = try_write_file(partial, text);
  if (error == 0 && std::rename(partial.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return;
  ::unlink(partial.c_str());
  cannot_be_written(path, error);
}

void write_all(int descriptor, std::string_view text, const std::string& path) {
  if (const int error = try_write_all(descriptor, text)) cannot_be_written(path, error);
}

}  // namespace lime
