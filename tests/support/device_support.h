// Tests with one body for all devices.
//
// test_devices() is cpu, and cuda where the build has it. A test over it makes its fixture from DeviceTest,
// or calls skip_reason() itself: on a machine without a GPU the cuda cases of a CUDA build are there, named,
// and skipped. Device memory is read and written by the copies below alone; a test that dereferences a view
// of the device is ended by the emulator.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "runtime/context.h"
#include "runtime/jagged.h"
#include "runtime/primitives.h"

namespace lime {

// For INSTANTIATE_TEST_SUITE_P(..., testing::ValuesIn(test_devices()), device_name).
std::vector<Device> test_devices();
std::vector<Device> test_cuda_devices();  // without the CPU: empty in a build without CUDA
std::string device_name(const testing::TestParamInfo<Device>& info);  // "cpu", "cuda"
// Why tests on `device` cannot run on this machine; empty where they can.
std::string skip_reason(Device device);

// Whether device cuda is the emulator, by what it says of itself.
bool device_is_emulated();
// Whether work is done when it is given, as the emulator's may be (runtime/emulator/work.h): the host waits.
bool device_works_at_once();

// A fixture with a context on the device under test. Without the device, the test is skipped before its body.
class DeviceTest : public testing::Test {
 public:
  static inline Context* context = nullptr;  // that of the running test, for helpers without one

 protected:
  explicit DeviceTest(Device device, DType compute = DType::f32)
      : reason_(skip_reason(device)),
        ctx(reason_.empty() ? device : Device{}, reason_.empty() ? compute : DType::f32) {
    context = &ctx;
  }
  ~DeviceTest() override { context = nullptr; }
  void SetUp() override {
    if (!reason_.empty()) GTEST_SKIP() << reason_;
  }

 private:
  std::string reason_;

 protected:
  Context ctx;
};

// The values of a view on any device, row by row; waits for the device.
template <typename T>
std::vector<T> to_host(Context& ctx, const ConstView& view) {
  std::vector<T> values(static_cast<size_t>(view.size()));
  if (values.empty()) return values;
  copy(ctx, view, View(values.data(), view.rows(), view.cols()));
  ctx.synchronize();
  return values;
}

// The values as a rows x cols tensor on the context's device; rows = 1 by default.
template <typename T>
Tensor to_device(Context& ctx, std::span<const T> values, int64_t rows = 1) {
  const auto size = static_cast<int64_t>(values.size());
  Tensor tensor(ctx.device(), dtype_of<T>(), rows, rows ? size / rows : 0);
  if (size > 0) copy(ctx, ConstView(values.data(), rows, size / rows), tensor);
  return tensor;
}
template <typename T>
Tensor to_device(Context& ctx, const std::vector<T>& values, int64_t rows = 1) {
  return to_device(ctx, std::span<const T>(values), rows);
}

// A 1 x 1 tensor of f64 on the context's device.
Tensor device_scalar(Context& ctx, double value);
// sum_of_squares(), read.
double host_sum_of_squares(Context& ctx, const ConstView& x);

template <typename T>
T read_element(Context& ctx, const ConstView& v, int64_t row, int64_t col) {
  return to_host<T>(ctx, v.slice_rows(row, row + 1).slice_cols(col, col + 1))[0];
}
template <typename T>
void write_element(Context& ctx, const View& v, int64_t row, int64_t col, T value) {
  copy(ctx, ConstView(&value, 1, 1), v.slice_rows(row, row + 1).slice_cols(col, col + 1));
}

// Offsets with their copy on the context's device.
class DeviceJagged {
 public:
  DeviceJagged(Context& ctx, std::vector<int64_t> offsets)
      : host_(std::move(offsets)),
        device_(ctx.device() == Device{} ? Tensor() : to_device(ctx, host_)),
        jagged_(host_, device_.cols() ? device_.view().data<int64_t>() : nullptr) {}
  DeviceJagged(const DeviceJagged&) = delete;
  DeviceJagged& operator=(const DeviceJagged&) = delete;
  operator const Jagged&() const { return jagged_; }

 private:
  std::vector<int64_t> host_;
  Tensor device_;
  Jagged jagged_;
};

}  // namespace lime
