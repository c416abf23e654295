// XOR, link and causal attention of bf16 rows on a GPU: milliseconds of forward and of forward + backward,
// beside the least that this device could take, from its own copy and matrix product rates, measured in the
// same process.
//
//   bench_cuda_attention [DEVICE]
//
// Width 256, 4 heads, [U|Q|K|V] side by side as in the network, 262144 history rows (of causal attention
// 65536, with 16 candidates a history) in histories of one length. The floor of a call is the larger of its
// bytes (each matrix read or written once) at the copy rate, the better of this project's kernel and CUDA's
// own, and its products (2.5 times as many backward) at the rate of bf16 products of 8192 x 4096 x 4096.
// Times are medians of 11 runs of 4 calls between CUDA events: what calls read is beyond the second-level
// cache, and the host starts one while the device is at another. XOR attention by products of warps, where
// those of warpgroups are in use, has rows of its own. Checks tensor cores against the generic kernel first:
// a wrong result is not timed, and the exit code is 1. Without a GPU it says so and exits with 0.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "layers/cuda_kernels_attention.h"
#include "runtime/philox.h"
#include "runtime/primitives.h"
#include "runtime/wgmma.h"

namespace {

using namespace lime;

constexpr int64_t width = 256, heads = 4, all_rows = 1 << 18, causal_rows = 1 << 16, candidates = 16;

void check(cudaError_t status) {
  if (status != cudaSuccess) cuda::throw_failure("bench", status);
}

class Timer {
 public:
  explicit Timer(Context& ctx) : ctx_(ctx) {
    ctx.stream().activate();
    check(cudaEventCreate(&begin_));
    check(cudaEventCreate(&end_));
  }
  ~Timer() { cudaEventDestroy(begin_), cudaEventDestroy(end_); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Median milliseconds of one call.
  template <typename F>
  double median(const F& call) {
    const auto stream = static_cast<cudaStream_t>(ctx_.stream().handle());
    constexpr int calls = 4, runs = 11;
    for (int i = 0; i < 3; ++i) call();
    std::vector<float> times(runs);
    for (float& ms : times) {
      check(cudaEventRecord(begin_, stream));
      for (int i = 0; i < calls; ++i) call();
      check(cudaEventRecord(end_, stream));
      check(cudaEventSynchronize(end_));
      check(cudaEventElapsedTime(&ms, begin_, end_));
    }
    std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
    return times[runs / 2] / calls;
  }

 private:
  Context& ctx_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// Normal numbers; a block of rows again and again.
Tensor random_rows(Context& ctx, DType type, int64_t rows, int64_t cols, uint64_t seed) {
  const int64_t block = std::min<int64_t>(rows, 1024);
  const Philox rng(seed, stream_of("bench"));
  std::vector<float> values(static_cast<size_t>(block * cols));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(rng.normal(i));
  const Tensor wide(ctx.device(), DType::f32, block, cols);
  copy(ctx, ConstView(values.data(), block, cols), wide);
  Tensor out(ctx.device(), type, rows, cols);
  for (int64_t r = 0; r < rows; r += block) {
    const int64_t n = std::min(block, rows - r);
    copy(ctx, wide.view().slice_rows(0, n), out.view().slice_rows(r, r + n));
  }
  ctx.synchronize();
  return out;
}

// Segments of one length, on both sides.
struct Segments {
  Segments(Context& ctx, int64_t count, int64_t length) : device(ctx.device(), DType::i64, 1, count + 1) {
    for (int64_t b = 0; b <= count; ++b) offsets.push_back(b * length);
    copy(ctx, ConstView(offsets.data(), 1, count + 1), device);
  }
  Jagged jagged() const { return Jagged(offsets, device.view().data<int64_t>()); }
  std::vector<int64_t> offsets;
  Tensor device;
};

// Everything of calls for histories of one length, each with as many other rows: links, or candidates.
struct Rows {
  Rows(Context& ctx, DType type, int64_t rows, int64_t length, int64_t others)
      : requests(rows / length),
        history(ctx, requests, length),
        h(random_rows(ctx, type, rows, 4 * width, 1)),
        l(random_rows(ctx, type, requests * others, 4 * width, 2)),
        dh_out(random_rows(ctx, type, rows, width, 3)),
        dl_out(random_rows(ctx, type, requests * others, width, 4)),
        h_out(ctx.device(), type, rows, width),
        l_out(ctx.device(), type, requests * others, width),
        dh(ctx.device(), type, rows, 4 * width),
        dl(ctx.device(), type, requests * others, 4 * width) {
    for (const Tensor* sums : {&h_out, &l_out, &dh, &dl})
      fill(ctx, *sums, 0);  // what is not accumulated is not written
  }
  static View part(const Tensor& x, int64_t which) {
    return x.view().slice_cols(which * width, (which + 1) * width);
  }
  static AttentionRows rows_of(const Tensor& x) { return {part(x, 1), part(x, 2), part(x, 3)}; }
  static AttentionRowsGrad grads_of(const Tensor& x) { return {part(x, 1), part(x, 2), part(x, 3)}; }
  // Bytes that each call must move, rows of bf16.
  double forward_bytes() const { return 4.0 * 2 * width * static_cast<double>(h.rows() + l.rows()); }
  double backward_bytes() const { return 7.0 * 2 * width * static_cast<double>(h.rows() + l.rows()); }

  int64_t requests;
  Segments history;
  Tensor h, l, dh_out, dl_out, h_out, l_out, dh, dl;
};

struct Xor : Rows {
  Xor(Context& ctx, DType type, int64_t rows, int64_t length, int64_t links_)
      : Rows(ctx, type, rows, length, links_), links(links_) {}
  XorAttentionTile tile() const { return {heads, links, history.jagged(), 0}; }
  void forward(Context& ctx) const {
    cuda::xor_attention(ctx, tile(), true, rows_of(h), rows_of(l), h_out, l_out);
  }
  void backward(Context& ctx) const {
    cuda::xor_attention_backward(ctx, tile(), true, rows_of(h), rows_of(l), dh_out.view(), dl_out.view(),
                                 grads_of(dh), grads_of(dl));
  }
  double flops() const { return xor_attention_flops(h.rows(), links, width, true); }

  int64_t links;
};

// Of lime_mha: softmax attention of the links; there is no direction up.
struct Links : Rows {
  Links(Context& ctx, DType type, int64_t rows, int64_t length, int64_t links_)
      : Rows(ctx, type, rows, length, links_),
        links(links_),
        maximum(ctx.device(), DType::f32, requests * heads, links),
        sum(ctx.device(), DType::f32, requests * heads, links) {}
  LinkAttention attention() const { return {heads, links, history.jagged()}; }
  void forward(Context& ctx) const {
    cuda::link_attention_begin(ctx, {maximum, sum}, l_out);
    cuda::link_attention_tile(ctx, attention(), 0, part(l, 1), part(h, 2), part(h, 3), {maximum, sum}, l_out);
    cuda::link_attention_finish(ctx, attention(), {maximum, sum}, l_out);
  }
  void backward(Context& ctx) const {
    cuda::link_attention_backward_begin(ctx, attention(), l_out.view(), dl_out.view(), {maximum, sum});
    cuda::link_attention_backward_tile(ctx, attention(), 0, part(l, 1), part(h, 2), part(h, 3), dl_out.view(),
                                       {maximum, sum}, part(dl, 1), part(dh, 2), part(dh, 3));
  }
  // Keys and values, and their gradients; queries and outputs, and their gradients.
  double forward_bytes() const { return 2.0 * 2 * width * static_cast<double>(h.rows() + l.rows()); }
  double backward_bytes() const { return 4.0 * 2 * width * static_cast<double>(h.rows() + l.rows()); }
  double flops() const { return 4.0 * static_cast<double>(h.rows() * links * width); }

  int64_t links;
  Tensor maximum, sum;
};

struct Causal : Rows {
  Causal(Context& ctx, DType type, int64_t rows, int64_t length)
      : Rows(ctx, type, rows, length, candidates), targets(ctx, requests, candidates) {}
  CausalAttention attention() const { return {heads, history.jagged(), targets.jagged()}; }
  void forward(Context& ctx) const {
    cuda::causal_attention(ctx, attention(), rows_of(h), rows_of(l), h_out, l_out);
  }
  void backward(Context& ctx) const {
    cuda::causal_attention_backward(ctx, attention(), rows_of(h), rows_of(l), dh_out.view(), dl_out.view(),
                                    grads_of(dh), grads_of(dl));
  }
  double flops() const { return causal_attention_flops(attention(), width, true); }

  Segments targets;
};

std::vector<float> values_of(Context& ctx, const ConstView& x) {
  const Tensor wide(ctx.device(), DType::f32, x.rows(), x.cols());
  copy(ctx, x, wide);
  std::vector<float> values(static_cast<size_t>(x.size()));
  copy(ctx, wide.view(), View(values.data(), x.rows(), x.cols()));
  ctx.synchronize();
  return values;
}

// Root mean square of the difference, as a share of that of the values.
double difference(Context& ctx, const ConstView& a, const ConstView& b) {
  const std::vector<float> x = values_of(ctx, a), y = values_of(ctx, b);
  double squares = 0, of_difference = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    squares += double{y[i]} * y[i];
    of_difference += std::pow(double{x[i]} - double{y[i]}, 2);
  }
  return std::sqrt(of_difference / squares);
}

// Tensor cores on bf16 rows against the generic kernel on f32 rows, which differ by rounding.
template <typename Problem>
bool right(Context& ctx, const char* what, const Problem& narrow, const Problem& wide) {
  for (const Problem* p : {&narrow, &wide}) p->forward(ctx), p->backward(ctx);
  double worst = 0;
  const auto compare = [&](const Tensor& a, const Tensor& b) {
    worst = std::max(worst, difference(ctx, a.view(), b.view()));
  };
  compare(narrow.h_out, wide.h_out);
  compare(narrow.l_out, wide.l_out);
  compare(narrow.dh, wide.dh);
  compare(narrow.dl, wide.dl);
  if (worst < 0.02) return true;
  std::fprintf(stderr, "%s: tensor cores differ from the generic kernel by %.3g; nothing is timed\n", what,
               worst);
  return false;
}

// What the device reaches, a millisecond.
struct Rates {
  double copies, products;
};

// One row of the table, from its columns after the first.
template <typename Problem>
void time_row(Context& ctx, Timer& timer, const Rates& rates, const Problem& p, int64_t length) {
  const double forward = timer.median([&] { p.forward(ctx); }), both = timer.median([&] {
    p.forward(ctx);
    p.backward(ctx);
  });
  const double forward_floor = std::max(p.forward_bytes() / rates.copies, p.flops() / rates.products),
               floor = forward_floor +
                       std::max(p.backward_bytes() / rates.copies, 2.5 * p.flops() / rates.products);
  std::printf("%ld | %ld | %.3f | %.3f | %.0f %% | %.3f | %.3f | %.0f %% |\n", static_cast<long>(length),
              static_cast<long>(p.requests), forward, forward_floor, 100 * forward_floor / forward, both,
              floor, 100 * floor / both);
}

int run(const Device& device) {
  Context ctx(device);
  Timer timer(ctx);
  Rates rates{};
  {
    const Tensor x = random_rows(ctx, DType::bf16, all_rows, 4 * width, 1),
                 y(device, DType::bf16, all_rows, 4 * width);
    const size_t bytes = 2 * static_cast<size_t>(x.view().size());
    const double own = timer.median([&] { copy(ctx, x.view(), y.view()); }), cuda = timer.median([&] {
      check(cudaMemcpyAsync(y.view().raw(), x.view().raw(), bytes, cudaMemcpyDeviceToDevice,
                            static_cast<cudaStream_t>(ctx.stream().handle())));
    });
    rates.copies = 2.0 * static_cast<double>(bytes) / std::min(own, cuda);
    const int64_t m = 8192, n = 4096;
    const Tensor a = random_rows(ctx, DType::bf16, m, n, 1), b = random_rows(ctx, DType::bf16, n, n, 2),
                 c(device, DType::bf16, m, n);
    rates.products = 2.0 * static_cast<double>(m * n * n) / timer.median([&] {
      gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), 0, c);
    });
  }
  std::printf("copies %.0f GB/s, bf16 products %.0f TFLOP/s\n\n", rates.copies * 1e-6, rates.products * 1e-9);
  std::printf(
      "| links | history | requests | forward ms | floor ms | share | + backward ms | floor ms | share |\n");
  std::printf("|---|---|---|---|---|---|---|---|---|\n");
  bool all_right = true;
  // Rows of the table for one kind of problem, if its results are right.
  const auto rows = [&](const std::string& what, std::initializer_list<int64_t> lengths, int64_t all,
                        const auto& make) {
    constexpr int64_t few = 3 * 700, odd = 700;
    if (!right(ctx, what.c_str(), make(DType::bf16, few, odd), make(DType::f32, few, odd))) {
      all_right = false;
      return;
    }
    for (const int64_t length : lengths) {
      std::printf("| %s | ", what.c_str());
      time_row(ctx, timer, rates, make(DType::bf16, all, length), length);
    }
  };
  for (const int64_t links : {32, 64, 128}) {
    const auto make = [&](DType type, int64_t n, int64_t length) { return Xor(ctx, type, n, length, links); };
    rows(str(links), {1024, 4096, 16384, 65536}, all_rows, make);
    if (links % 64 != 0 || !cuda::wgmma_in_use(ctx)) continue;
    cuda::allow_wgmma(false);
    rows(str(links, ", by warps"), {4096, 65536}, all_rows, make);
    cuda::allow_wgmma(true);
  }
  for (const int64_t links : {32, 64, 128})
    rows(str("softmax, ", links), {1024, 16384}, all_rows,
         [&](DType type, int64_t n, int64_t length) { return Links(ctx, type, n, length, links); });
  rows("causal", {1024, 4096, 16384}, causal_rows,
       [&](DType type, int64_t n, int64_t length) { return Causal(ctx, type, n, length); });
  return all_right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const Device device{DeviceType::cuda, argc > 1 ? std::atoi(argv[1]) : 0};
  if (const std::string reason = cuda::unavailable(device.index); !reason.empty()) {
    std::printf("nothing measured: %s\n", reason.c_str());
    return 0;
  }
  try {
    return run(device);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
