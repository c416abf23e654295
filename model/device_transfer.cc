#include "model/device_transfer.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

#include "runtime/error.h"
#include "runtime/host_staging.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

// Conversions are the device's work: rows travel in a type that the host computes with.
DType host_type(DType dtype) { return dtype == DType::bf16 ? DType::f32 : dtype; }

View host_view(const PinnedBuffer& memory, DType dtype, int64_t rows, int64_t cols) {
  return {memory.data(), dtype, Device{}, rows, cols, cols};
}

}  // namespace

// --- to the device -----------------------------------------------------------------------------

struct DeviceInput::OnDevice {
  explicit OnDevice(Device device)
      : stream(device.index),
        staging(device),
        slots{Slot{Arena(device), cuda::Event(device.index)}, Slot{Arena(device), cuda::Event(device.index)}},
        arrived(device.index) {}

  struct Slot {
    Arena memory;
    cuda::Event unused;  // the compute that reads it is done
  };
  struct Conversion {
    View from, to;
  };

  View copied(DType dtype, int64_t rows, int64_t cols, const Fill& fill) {
    const View device = slots[current].memory.alloc(dtype, rows, cols);
    auto block = staging.take(device.bytes());
    fill(host_view(block->memory, dtype, rows, cols));
    const size_t bytes = device.bytes();
    stream.to_device(block->memory.data(), bytes, device.raw(), bytes, {1, bytes});
    staging.give_back(std::move(block), stream);
    return device;
  }

  cuda::Stream stream;
  HostStaging staging;
  std::array<Slot, 2> slots;
  size_t current = 0;
  cuda::Event arrived;
  std::vector<Conversion> conversions;
};

DeviceInput::DeviceInput(Context& ctx) : ctx_(ctx) {
  if (ctx.device().type == DeviceType::cuda) device_ = std::make_unique<OnDevice>(ctx.device());
}

DeviceInput::~DeviceInput() = default;

void DeviceInput::begin() {
  if (!device_) return;
  OnDevice& d = *device_;
  d.slots[d.current].unused.record(ctx_.stream());
  d.current = 1 - d.current;
  d.stream.wait(d.slots[d.current].unused);
  d.slots[d.current].memory.reset();
  d.conversions.clear();
}

View DeviceInput::send(DType dtype, int64_t rows, int64_t cols, const Fill& fill) {
  if (!device_) {
    const View out = ctx_.arena().alloc(dtype, rows, cols);
    fill(out);
    return out;
  }
  if (host_type(dtype) == dtype) return device_->copied(dtype, rows, cols, fill);
  const View out = ctx_.arena().alloc(dtype, rows, cols);
  send(out, fill);
  return out;
}

void DeviceInput::send(View out, const Fill& fill) {
  if (!device_) return fill(out);
  device_->conversions.push_back(
      {device_->copied(host_type(out.dtype()), out.rows(), out.cols(), fill), out});
}

Jagged DeviceInput::send(std::span<const int64_t> offsets) {
  if (!device_) return Jagged(offsets);
  const View sent = device_->copied(DType::i64, 1, static_cast<int64_t>(offsets.size()), [&](View host) {
    std::copy(offsets.begin(), offsets.end(), host.data<int64_t>());
  });
  return Jagged(offsets, sent.data<int64_t>());
}

void DeviceInput::arrive() {
  if (!device_) return;
  device_->arrived.record(device_->stream);
  ctx_.stream().wait(device_->arrived);
  for (const OnDevice::Conversion& c : device_->conversions) copy(ctx_, c.from, c.to);
  device_->conversions.clear();
}

// --- to the host -------------------------------------------------------------------------------

struct HostReturn::OnDevice {
  explicit OnDevice(Device device) : staging(device) {}

  struct Returning {
    std::vector<std::unique_ptr<HostStaging::Block>> blocks;
    std::vector<ConstView> host;
    std::unique_ptr<cuda::Event> arrived;
    Then then;
  };

  HostStaging staging;
  std::deque<Returning> returning;
};

HostReturn::HostReturn(Context& ctx) : ctx_(ctx) {
  if (ctx.device().type == DeviceType::cuda) device_ = std::make_unique<OnDevice>(ctx.device());
}

HostReturn::~HostReturn() {
  if (!device_ || device_->returning.empty()) return;
  try {
    ctx_.synchronize();     // copies into memory that goes now
  } catch (const Error&) {  // the device failed: nothing is under way, and whoever used it has been told
  }
}

void HostReturn::start(std::vector<ConstView> views, Then then) {
  if (!device_) return then(views);
  OnDevice::Returning r{{}, {}, std::make_unique<cuda::Event>(ctx_.device().index), std::move(then)};
  const Arena::Scope scope(ctx_.arena());
  for (const ConstView& view : views) {
    ConstView from = view;
    if (view.dtype() != host_type(view.dtype())) {
      const View converted = ctx_.arena().alloc(host_type(view.dtype()), view.rows(), view.cols());
      copy(ctx_, view, converted);
      from = converted;
    }
    r.blocks.push_back(device_->staging.take(from.bytes()));
    const View host = host_view(r.blocks.back()->memory, from.dtype(), from.rows(), from.cols());
    if (!from.empty()) copy(ctx_, from, host);
    r.host.push_back(host);
  }
  r.arrived->record(ctx_.stream());
  device_->returning.push_back(std::move(r));
}

void HostReturn::finish(size_t under_way) {
  if (!device_) return;
  while (device_->returning.size() > under_way) {
    OnDevice::Returning r = std::move(device_->returning.front());
    device_->returning.pop_front();
    r.arrived->synchronize();
    r.then(r.host);
    for (auto& block : r.blocks) device_->staging.give_back(std::move(block), ctx_.stream());
  }
}

}  // namespace lime
