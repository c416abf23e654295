#include "launch/rank_bench.h"
#include "launch/run_context.h"
#include "layers/device_offsets.h"
#include "layers/loss.h"
#include "layers/ranking_model.h"
#include "model/file_checksum.h"
#include "runtime/philox.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

constexpr int64_t features = 48;

// On the context's device, of f32.
Tensor random_values(Context& ctx, int64_t rows, int64_t cols, double scale, const char* name) {
  const Philox random(1, stream_of(name));
  Tensor host(Device{}, DType::f32, rows, cols), there(ctx.device(), DType::f32, rows, cols);
  float* values = host.view().data<float>();
  for (int64_t i = 0; i < rows * cols; ++i)
    values[i] = static_cast<float>(scale * (2 * random.uniform(static_cast<uint64_t>(i)) - 1));
  copy(ctx, host.view(), there);
  ctx.synchronize();
  return there;
}

void add(Digest& digest, Context& ctx, const ConstView& values) {
  const Tensor host(Device{}, values.dtype(), values.rows(), values.cols());
  copy(ctx, values, host);
  ctx.synchronize();
  digest.add(std::string_view(static_cast<const char*>(host.view().raw()), values.bytes()));
}

void add_model(Digest& digest, Context& ctx, const std::string& name) {
  RankingModelConfig c;
  c.name = name;
  c.history_features = c.candidate_features = c.user_features = features;
  c.width = 64;
  c.head_hidden = 32;
  c.max_positions = 64;
  ParameterStore store;
  RankingModel model(c, store);
  store.allocate(ctx, 1);
  // Not the first values, many of which are 0.
  copy(ctx, random_values(ctx, 1, store.size(), 0.2, "parameters").view(), store.values());
  store.refresh(ctx);
  const std::vector<int64_t> histories = {0, 70, 70, 103, 130}, candidates = {0, 3, 20, 21, 37};
  const int64_t requests = 4, rows = histories.back(), shown = candidates.back();
  const auto rows_of = [&](int64_t n, const char* of) {
    Tensor there(ctx.device(), ctx.dtype(), n, features);
    copy(ctx, random_values(ctx, n, features, 1, of).view(), there);
    return there;
  };
  const Tensor history = rows_of(rows, "history"), candidate = rows_of(shown, "candidates"),
               user = rows_of(requests, "users");
  const Tensor dhistory = rows_of(rows, "history"), dcandidate = rows_of(shown, "candidates"),
               duser = rows_of(requests, "users");
  const Tensor logits(ctx.device(), ctx.parameter_dtype(), shown, 1),
      dlogits(ctx.device(), ctx.parameter_dtype(), shown, 1),
      ones(ctx.device(), ctx.parameter_dtype(), shown, 1), loss(ctx.device(), DType::f64, 1, 1);
  fill(ctx, ones, 1);
  ctx.arena().reset();
  model.forward(
      ctx,
      {history.view(), candidate.view(), user.view(), on_device(ctx, histories), on_device(ctx, candidates)},
      logits);
  bce_with_logits(ctx, logits.view(), ones.view(), ones.view(), dlogits, loss);
  model.backward(ctx, dlogits.view(), {dhistory, dcandidate, duser});
  add(digest, ctx, logits.view());
  add(digest, ctx, loss.view());
  add(digest, ctx, store.grads());
}

// Beyond the sizes of those models' products: on the CPU, BLAS makes it.
void add_large_product(Digest& digest, Context& ctx) {
  constexpr int64_t side = 520;
  const Tensor a = random_values(ctx, side, side, 1, "left"), b = random_values(ctx, side, side, 1, "right"),
               c(ctx.device(), DType::f32, side, side);
  gemm(ctx, Transpose::no, Transpose::no, 1, a.view(), b.view(), 0, c);
  add(digest, ctx, c.view());
}

}  // namespace

std::string digest_of_layers(Device device) {
  Digest digest;
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    if (precision == Precision::bf16 && device.type == DeviceType::cpu) continue;
    for (const char* model : {"lime_xor", "hstu"}) {
      RunContext ctx(device, precision);
      add_model(digest, ctx, model);
    }
  }
  RunContext ctx(device, Precision::f32);
  add_large_product(digest, ctx);
  return digest.hex();
}

}  // namespace lime
