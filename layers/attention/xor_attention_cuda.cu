// XOR attention on CUDA, for rows of any type and shape: both directions are the sum of
// sums_cuda.h, with weights A = f SiLU(S / sqrt(w)), f = 1 / links where the history reads the
// links ("up") and 1 / N where the links read the history ("down"). Rows that tensor cores can take are
// handed to xor_attention_mma_cuda.h.
#include <cmath>

#include "layers/attention/sums_cuda.h"
#include "layers/attention/xor_attention_mma_cuda.h"
#include "layers/cuda_kernels_attention.h"
#include "runtime/cuda_kernel_math.h"

namespace lime::cuda {

namespace {

// a = f SiLU(x), d = f SiLU'(x) g / sqrt(w), of x = s / sqrt(w).
template <typename A>
struct SiluWeight {
  A slope, factor;
  __device__ void operator()(int64_t, A s, A g, A& a, A& d) const {
    a = factor * silu(slope * s);
    d = factor * slope * silu_slope(slope * s) * g;
  }
};
template <typename A>
struct SiluWeights {
  A slope, up;  // up = 0: of the direction down
  __device__ SiluWeight<A> of(const Chunk& chunk, int64_t) const {
    return {slope, up > 0 ? up : 1 / static_cast<A>(chunk.length)};
  }
};

// The shapes of a call.
struct Call {
  Call(const XorAttentionTile& tile, const ConstView& k)
      : heads(tile.heads),
        links(tile.links),
        width(k.cols() / tile.heads),
        d(k.cols()),
        long_chunks(chunks(tile, k.rows(), chunk_size(k.rows(), tile.heads))),
        short_chunks(chunks(tile, k.rows(), square)) {}

  static Chunks chunks(const XorAttentionTile& tile, int64_t rows, int64_t size) {
    return make_chunks(tile.history, tile.first, rows, size, tile.whole);
  }

  template <typename A>
  SiluWeights<A> weights(bool up) const {
    return {static_cast<A>(1 / std::sqrt(static_cast<double>(width))),
            up ? static_cast<A>(1 / static_cast<double>(links)) : A(0)};
  }
  // Room for `count` sums of links over chunks.
  template <typename A>
  A* partial(Context& ctx, int count) const {
    return ctx.arena().alloc(dtype_of<A>(), count * sum_size() / d, d).template data<A>();
  }
  int64_t sum_size() const { return long_chunks.numbers() * links * d; }

  int64_t heads, links, width, d;
  Chunks long_chunks, short_chunks;
};

constexpr const char *forward_name = "xor_attention", *backward_name = "xor_attention_backward";

template <typename T, bool links_own, bool with0, bool with1>
void sums(Context& ctx, const char* name, const Call& call, bool up, const AttentionSides<T>& sides,
          const AttentionSums<T>& out) {
  attention_sums<T, links_own, with0, with1>(ctx, name, links_own ? call.long_chunks : call.short_chunks,
                                             call.links, call.heads, call.width, sides,
                                             call.weights<Compute<T>>(up), out);
}

template <typename T>
void forward(Context& ctx, const Call& call, bool both, const AttentionRows& history,
             const AttentionRows& links, const View& history_out, const View& links_out) {
  const auto m = [](const ConstView& v) { return matrix<const T>(v); };
  auto* partial = call.partial<Compute<T>>(ctx, 1);
  sums<T, true, false, true>(ctx, forward_name, call, false, {m(links.q), {}, m(history.k), m(history.v)},
                             {{}, {nullptr, partial}});
  add_chunks<T>(ctx, forward_name, call.long_chunks, call.links, 1, 1, partial, {{matrix<T>(links_out)}}, 1);
  if (both)
    sums<T, false, false, true>(ctx, forward_name, call, true, {m(history.q), {}, m(links.k), m(links.v)},
                                {{{}, matrix<T>(history_out)}, {}});
}

template <typename T>
void backward(Context& ctx, const Call& call, bool both, const AttentionRows& history,
              const AttentionRows& links, const ConstView& dhistory_out, const ConstView& dlinks_out,
              const AttentionRowsGrad& dhistory, const AttentionRowsGrad& dlinks) {
  const auto m = [](const ConstView& v) { return matrix<const T>(v); };
  auto* partial = call.partial<Compute<T>>(ctx, both ? 3 : 1);
  LinkSums<T> link_sums{{matrix<T>(dlinks.q)}};
  // Down: links have queries, the history keys.
  sums<T, true, true, false>(ctx, backward_name, call, false,
                             {m(links.q), m(dlinks_out), m(history.k), m(history.v)},
                             {{}, {partial, nullptr}});
  sums<T, false, true, true>(ctx, backward_name, call, false,
                             {m(history.k), m(history.v), m(links.q), m(dlinks_out)},
                             {{matrix<T>(dhistory.k), matrix<T>(dhistory.v)}, {}});
  if (both) {
    auto *dk = partial + call.sum_size(), *dv = dk + call.sum_size();
    link_sums.at[1] = matrix<T>(dlinks.k), link_sums.at[2] = matrix<T>(dlinks.v);
    sums<T, false, true, false>(ctx, backward_name, call, true,
                                {m(history.q), m(dhistory_out), m(links.k), m(links.v)},
                                {{matrix<T>(dhistory.q)}, {}});
    sums<T, true, true, true>(ctx, backward_name, call, true,
                              {m(links.k), m(links.v), m(history.q), m(dhistory_out)}, {{}, {dk, dv}});
  }
  add_chunks<T>(ctx, backward_name, call.long_chunks, call.links, 1, 1, partial, link_sums, both ? 3 : 1);
}

}  // namespace

void xor_attention(Context& ctx, const XorAttentionTile& tile, bool both, const AttentionRows& history,
                   const AttentionRows& links, View history_out, View links_out) {
  const Arena::Scope scope(ctx.arena());
  if (xor_attention_mma(ctx, tile, both, history, links, history_out, links_out)) return;
  with_multiplied_type(ctx, history.k.dtype(), [&]<typename T>(T) {
    forward<T>(ctx, Call(tile, history.k), both, history, links, history_out, links_out);
  });
}

void xor_attention_backward(Context& ctx, const XorAttentionTile& tile, bool both,
                            const AttentionRows& history, const AttentionRows& links,
                            const ConstView& dhistory_out, const ConstView& dlinks_out,
                            const AttentionRowsGrad& dhistory, const AttentionRowsGrad& dlinks) {
  const Arena::Scope scope(ctx.arena());
  if (xor_attention_backward_mma(ctx, tile, both, history, links, dhistory_out, dlinks_out, dhistory, dlinks))
    return;
  with_multiplied_type(ctx, history.k.dtype(), [&]<typename T>(T) {
    backward<T>(ctx, Call(tile, history.k), both, history, links, dhistory_out, dlinks_out, dhistory, dlinks);
  });
}

}  // namespace lime::cuda
