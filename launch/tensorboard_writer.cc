#include "launch/tensorboard_writer.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "runtime/error.h"

namespace lime {
namespace {

// Castagnoli's polynomial, reflected (RFC 3720).
constexpr std::array<uint32_t, 256> crc_table = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t n = 0; n < 256; ++n) {
    uint32_t c = n;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? 0x82f63b78u : 0u);
    table[n] = c;
  }
  return table;
}();

uint32_t masked(uint32_t crc) { return std::rotr(crc, 15) + 0xa282ead8u; }

template <typename T>
std::string little_endian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

// Protocol buffers: a field is its number and wire type, then the value.
enum WireType : uint64_t { varint_type = 0, fixed64_type = 1, bytes_type = 2, fixed32_type = 5 };

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}
std::string tag(uint64_t field, WireType type) { return varint(field << 3 | type); }
std::string integer_field(uint64_t field, int64_t value) {
  return tag(field, varint_type) + varint(static_cast<uint64_t>(value));
}
std::string double_field(uint64_t field, double value) {
  return tag(field, fixed64_type) + little_endian(std::bit_cast<uint64_t>(value));
}
std::string float_field(uint64_t field, float value) {
  return tag(field, fixed32_type) + little_endian(std::bit_cast<uint32_t>(value));
}
std::string bytes_field(uint64_t field, std::string_view value) {
  return tag(field, bytes_type) + varint(value.size()) + std::string(value);
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t crc32c(std::string_view data) {
  uint32_t crc = ~0u;
  for (const char c : data) crc = (crc >> 8) ^ crc_table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string tensorboard_record(std::string_view data) {
  const std::string length = little_endian(static_cast<uint64_t>(data.size()));
  return length + little_endian(masked(crc32c(length))) + std::string(data) +
         little_endian(masked(crc32c(data)));
}

std::string version_event(double wall_time) {
  return double_field(1, wall_time) + bytes_field(3, "brain.Event:2");
}

std::string session_start_event(double wall_time, int64_t step) {
  constexpr int64_t start = 1;  // SessionLog.SessionStatus.START
  return double_field(1, wall_time) + integer_field(2, step) + bytes_field(7, integer_field(1, start));
}

std::string scalar_event(double wall_time, int64_t step,
                         const std::vector<std::pair<std::string, double>>& values) {
  std::string summary;
  for (const auto& [name, value] : values)
    if (std::isfinite(value))
      summary += bytes_field(1, bytes_field(1, name) + float_field(2, static_cast<float>(value)));
  return double_field(1, wall_time) + integer_field(2, step) + bytes_field(5, summary);
}

TensorboardWriter::TensorboardWriter(const std::string& directory, int64_t step) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  const auto seconds = static_cast<int64_t>(now());
  path_ = str(directory, "/events.out.tfevents.", seconds, ".", host, ".", getpid(), ".", step);
  file_ = std::fopen(path_.c_str(), "wb");
  if (!file_) throw UserError(str(path_, ": cannot be written: ", std::strerror(errno)));
  write(version_event(now()));
  if (step > 0) write(session_start_event(now(), step + 1));
}

TensorboardWriter::~TensorboardWriter() { std::fclose(file_); }

void TensorboardWriter::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  write(scalar_event(now(), step, values));
}

void TensorboardWriter::write(const std::string& event) {
  const std::string record = tensorboard_record(event);
  if (std::fwrite(record.data(), 1, record.size(), file_) != record.size() || std::fflush(file_) != 0)
    throw UserError(str(path_, ": cannot be written: ", std::strerror(errno)));
}

}  // namespace lime
