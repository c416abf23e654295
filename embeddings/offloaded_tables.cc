#include "embeddings/offloaded_tables.h"

#include <array>
#include <deque>

#include "embeddings/host_tables.h"
#include "runtime/cuda_device.h"
#include "runtime/memory.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

// Two pieces of page-locked memory in turn: one is filled while the other is copied.
class Turns {
 public:
  struct Piece {
    PinnedBuffer memory;
    cuda::Event used;  // the last copy from or to it
  };
  static constexpr size_t count = 2;

  explicit Turns(Device device) : device_(device) {}
  ~Turns() {
    try {
      for (const auto& piece : pieces_)
        if (piece) piece->used.synchronize();
    } catch (const Error&) {  // the device failed: nothing is under way, and whoever used it has been told
    }
  }
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Waits for the copy before the last.
  Piece& next(size_t bytes) {
    auto& piece = pieces_[turn_++ % count];
    if (piece) piece->used.synchronize();
    if (!piece || piece->memory.size() < bytes)
      piece.reset(new Piece{PinnedBuffer(device_, bytes + bytes / 4), cuda::Event(device_.index)});
    return *piece;
  }

 private:
  Device device_;
  std::array<std::unique_ptr<Piece>, count> pieces_;
  size_t turn_ = 0;
};

class OffloadedTables final : public Tables {
 public:
  explicit OffloadedTables(const TablesOptions& options)
      : ctx_(options.ctx),
        host_(make_host_tables({host_ctx_, options.comm, nullptr, options.tables, options.seed})),
        to_device_(options.ctx.device()),
        to_host_(options.ctx.device()) {}

  std::unique_ptr<LookupState> make_lookup() override { return host_->make_lookup(); }

  void begin(LookupState& lookup) override {
    // Of a lookup whose step failed.
    std::erase_if(gradients_, [&](const Gradient& g) { return g.lookup == &lookup; });
    host_->begin(lookup);
  }
  void advance(LookupState& lookup) override { host_->advance(lookup); }
  void finish(LookupState& lookup) override { host_->finish(lookup); }

  void gather(const LookupState& lookup, int64_t micro_batch, int64_t feature, View out) override {
    if (out.rows() == 0) return;
    Turns::Piece& piece = to_device_.next(f32_bytes(out));
    const View rows(piece.memory.as<float>().data(), out.rows(), out.cols());
    host_->gather(lookup, micro_batch, feature, rows);
    const Arena::Scope scope(ctx_.arena());
    const bool as_it_is = out.dtype() == DType::f32;
    const View to = as_it_is ? out : ctx_.arena().alloc(DType::f32, out.rows(), out.cols());
    ctx_.stream().to_device(rows.raw(), pitch(rows), to.raw(), pitch(to), shape(to));
    piece.used.record(ctx_.stream());
    if (!as_it_is) copy(ctx_, to, out);
  }

  void add_gradient(LookupState& lookup, int64_t micro_batch, int64_t feature, const ConstView& dout,
                    bool /*stays*/) override {
    if (dout.rows() == 0) return;
    if (gradients_.size() == Turns::count) add_oldest();
    Turns::Piece& piece = to_host_.next(f32_bytes(dout));
    const View rows(piece.memory.as<float>().data(), dout.rows(), dout.cols());
    const Arena::Scope scope(ctx_.arena());
    ConstView from = dout;
    if (dout.dtype() != DType::f32) {
      const View f32 = ctx_.arena().alloc(DType::f32, dout.rows(), dout.cols());
      copy(ctx_, dout, f32);
      from = f32;
    }
    ctx_.stream().to_host(from.raw(), pitch(from), rows.raw(), pitch(rows), shape(from));
    piece.used.record(ctx_.stream());
    gradients_.push_back({&lookup, micro_batch, feature, rows, &piece.used});
  }

  void reduce(LookupState& lookup) override {
    while (!gradients_.empty()) add_oldest();
    host_->reduce(lookup);
  }

  void sum_of_squares(LookupState& lookup, View out) override {
    double sum = 0;
    host_->sum_of_squares(lookup, View(&sum, 1, 1));
    ctx_.stream().to_device(&sum, sizeof sum, out.raw(), sizeof sum, {1, sizeof sum});
  }

  void update(LookupState& lookup, const UpdateStep& step) override {
    double scale = 0;
    ctx_.stream().to_host(step.grad_scale.raw(), sizeof scale, &scale, sizeof scale, {1, sizeof scale});
    ctx_.synchronize();
    host_->update(lookup, {ConstView(&scale, 1, 1), step.lr_scale, step.number});
  }

  void read(const FeatureIds& feature, View out) const override { host_->read(feature, out); }
  std::optional<int64_t> not_finite(int64_t table) const override { return host_->not_finite(table); }

  int64_t rows(int64_t table) const override { return host_->rows(table); }
  int64_t waiting(int64_t table) const override { return host_->waiting(table); }
  int64_t bytes() const override { return host_->bytes(); }
  TableRows bucket_rows(int64_t table, int64_t bucket) const override {
    return host_->bucket_rows(table, bucket);
  }
  void load_rows(int64_t table, const TableRows& rows) override { host_->load_rows(table, rows); }

 private:
  // On its way to the host, which has not added it.
  struct Gradient {
    LookupState* lookup;
    int64_t micro_batch, feature;
    View rows;
    const cuda::Event* copied;
  };

  static size_t pitch(const ConstView& v) { return static_cast<size_t>(v.stride()) * size_of(v.dtype()); }
  static cuda::Stream::Rows shape(const ConstView& v) {
    return {v.rows(), static_cast<size_t>(v.cols()) * size_of(v.dtype())};
  }

  static size_t f32_bytes(const ConstView& v) { return static_cast<size_t>(v.size()) * sizeof(float); }

  // In the order of the calls, so that sums are those of tables without a device.
  void add_oldest() {
    const Gradient g = gradients_.front();
    gradients_.pop_front();
    g.copied->synchronize();
    host_->add_gradient(*g.lookup, g.micro_batch, g.feature, g.rows, false);
  }

  Context& ctx_;
  Context host_ctx_;  // the CPU
  std::unique_ptr<Tables> host_;
  Turns to_device_, to_host_;
  std::deque<Gradient> gradients_;  // oldest first
};

}  // namespace

std::unique_ptr<Tables> make_offloaded_tables(const TablesOptions& options) {
  return std::make_unique<OffloadedTables>(options);
}

}  // namespace lime
