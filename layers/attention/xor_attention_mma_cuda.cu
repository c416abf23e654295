// XOR attention with tensor cores, forward; see sums_mma_cuda.h.
#include "layers/attention/xor_attention_mma_cuda.h"

#include <cmath>

#include "layers/attention/xor_attention_mma_weights_cuda.h"

namespace lime::cuda {

bool xor_attention_mma(Context& ctx, const XorAttentionTile& tile, bool both, const AttentionRows& history,
                       const AttentionRows& links, const View& history_out, const View& links_out) {
  if (!takes_mma<false, SiluMmaWeights>(
          ctx, tile.links, history.k.cols() / tile.heads, both,
          {&history.q, &history.k, &history.v, &links.q, &links.k, &links.v, &history_out, &links_out}))
    return false;
  const char* name = "xor_attention";
  const int64_t d = history.k.cols(), width = d / tile.heads, rows = history.k.rows();
  const int64_t parts = mma_parts(tile.links);
  const auto m = [](const ConstView& v) { return matrix<const bf16>(v); };
  MmaCall call{make_chunks(tile.history, tile.first, rows, chunk_size(rows, tile.heads), tile.whole),
               tile.heads,
               tile.links,
               {}};
  const SiluMmaWeights weights{static_cast<float>(0.5 / std::sqrt(static_cast<double>(width)))};
  auto* partial =
      ctx.arena().alloc(DType::f32, call.chunks.numbers() * parts * tile.links, d).template data<float>();
  call.direction[0] = {
      {m(links.q), {}}, {m(history.k), m(history.v)}, {}, {nullptr, partial}, {{}, matrix<bf16>(links_out)}};
  if (both)
    call.direction[1] = {
        {m(links.k), m(links.v)}, {m(history.q), {}}, {{}, matrix<bf16>(history_out)}, {}, {}};
  launch_mma<false>(ctx, name, width, both, weights, call);
  add_chunks<bf16>(ctx, name, call.chunks, tile.links, parts, 2, partial, {{matrix<bf16>(links_out)}}, 1);
  return true;
}

}  // namespace lime::cuda
