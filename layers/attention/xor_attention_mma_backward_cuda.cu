// XOR attention with tensor cores, backward; see sums_mma_cuda.h.
#include <cmath>

#include "layers/attention/xor_attention_mma_cuda.h"
#include "layers/attention/xor_attention_mma_weights_cuda.h"

namespace lime::cuda {

bool xor_attention_backward_mma(Context& ctx, const XorAttentionTile& tile, bool both,
                                const AttentionRows& history, const AttentionRows& links,
                                const ConstView& dhistory_out, const ConstView& dlinks_out,
                                const AttentionRowsGrad& dhistory, const AttentionRowsGrad& dlinks) {
  if (!takes_mma<true, SiluMmaWeights>(
          ctx, tile.links, history.k.cols() / tile.heads, both,
          {&history.q, &history.k, &history.v, &links.q, &links.k, &links.v, &dhistory_out, &dlinks_out,
           &dhistory.q, &dhistory.k, &dhistory.v, &dlinks.q, &dlinks.k, &dlinks.v}))
    return false;
  const char* name = "xor_attention_backward";
  const int64_t d = history.k.cols(), width = d / tile.heads, rows = history.k.rows();
  const int64_t parts = mma_parts(tile.links);
  const int sums = both ? 3 : 1;
  const auto m = [](const ConstView& v) { return matrix<const bf16>(v); };
  MmaCall call{make_chunks(tile.history, tile.first, rows, chunk_size(rows, tile.heads), tile.whole),
               tile.heads,
               tile.links,
               {}};
  const SiluMmaWeights weights{static_cast<float>(0.5 / std::sqrt(static_cast<double>(width)))};
  const int64_t sum_rows = call.chunks.numbers() * parts * tile.links;
  auto* dq = ctx.arena().alloc(DType::f32, sums * sum_rows, d).template data<float>();
  auto *dk = dq + sum_rows * d, *dv = dk + sum_rows * d;
  LinkSums<bf16> link_sums{{matrix<bf16>(dlinks.q)}};
  call.direction[0] = {{m(links.q), m(dlinks_out)},
                       {m(history.k), m(history.v)},
                       {matrix<bf16>(dhistory.k), matrix<bf16>(dhistory.v)},
                       {dq, nullptr},
                       {matrix<bf16>(dlinks.q), {}}};
  if (both) {
    call.direction[1] = {{m(links.k), m(links.v)},
                         {m(history.q), m(dhistory_out)},
                         {matrix<bf16>(dhistory.q), {}},
                         {dk, dv},
                         {matrix<bf16>(dlinks.k), matrix<bf16>(dlinks.v)}};
    link_sums.at[1] = matrix<bf16>(dlinks.k), link_sums.at[2] = matrix<bf16>(dlinks.v);
  }
  launch_mma<true>(ctx, name, width, both, weights, call);
  add_chunks<bf16>(ctx, name, call.chunks, tile.links, parts, 2, dq, link_sums, sums);
  return true;
}

}  // namespace lime::cuda
