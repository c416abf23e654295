// TensorboardWriter: scalars as TensorBoard reads them: TFRecord framing around hand-encoded Event messages.
//
// record:  length (u64 LE) | masked crc32c of length (u32 LE) | data | masked crc32c of data (u32 LE)
//          masked(c) = rotate_right(c, 15) + 0xa282ead8
// data:    tensorflow.Event { 1: wall_time double, 2: step int64, 3: file_version string | 5: summary | 7:
// session_log } (TensorFlow, core/lib/io/record_writer.cc, core/util/event.proto,
// core/framework/summary.proto)
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lime {

class TensorboardWriter {
 public:
  // Makes `directory` and a new event file in it. With step > 0 it opens with a "session started at step"
  // event, upon which TensorBoard forgets what earlier files hold beyond that step.
  TensorboardWriter(const std::string& directory, int64_t step);
  ~TensorboardWriter();
  TensorboardWriter(const TensorboardWriter&) = delete;
  TensorboardWriter& operator=(const TensorboardWriter&) = delete;

  // One event with these scalars, flushed. Values that are not finite are left out.
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  const std::string& path() const { return path_; }

 private:
  void write(const std::string& event);
  std::string path_;
  std::FILE* file_ = nullptr;
};

// The pieces, for the writer and its tests.
uint32_t crc32c(std::string_view data);
std::string tensorboard_record(std::string_view data);
std::string version_event(double wall_time);
std::string session_start_event(double wall_time, int64_t step);
std::string scalar_event(double wall_time, int64_t step,
                         const std::vector<std::pair<std::string, double>>& values);

}  // namespace lime
