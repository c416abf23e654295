// Item rows: what a candidate brings to its score whatever the request, as a cache keeps it, and the small
// product that scores candidates from their rows.
//
//   row of item c   [P_c ; S_c]      P_c  weights columns: its attention weights for the links, head by head
//                                    S_c  hidden columns: its share of the score head's hidden layer, T_c
//                                    W_1t
//   of a request    mix   weights x hidden, base 1 x hidden
//   of the model    out   tasks x hidden (W_2 transposed), bias 1 x tasks
//
//   logits_c = out SiLU(P_c mix + S_c + base) + bias
//
// A row is stored as f32, as IEEE f16 (round to nearest even), or as i8 with two f32 scales, of P_c and of
// S_c: x = scale * i, i in [-127, 127], scale = max |x| / 127, so that |x - stored x| <= scale / 2.
// On a CUDA device, rows and all matrices are in its memory, and the numbers of the chosen rows are the
// host's; rows are encoded on the host. Each candidate's logits depend on its own row and the request alone:
// the same bits in any company. Logits and what they are made of are of the parameters' type, which is f32
// here.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/context.h"

namespace lime {

enum class RowType : uint8_t { f32, f16, i8 };
constexpr size_t size_of(RowType type) { return type == RowType::f32 ? 4 : type == RowType::f16 ? 2 : 1; }
inline constexpr float largest_f16 = 65504.0f;

// Borrowed rows, one after the other without gaps.
struct ItemRows {
  RowType type = RowType::f32;
  int64_t count = 0, weights = 0, hidden = 0;
  const void* values = nullptr;   // count x columns, in the memory of the device that reads them
  const float* scales = nullptr;  // count x 2, of i8

  int64_t columns() const { return weights + hidden; }
};

// rows: finite, r x (weights + hidden), f32, at most largest_f16 where the type is f16. Writes r rows to
// `values` and, for i8, r x 2 to `scales`. All of it is host memory.
void encode_rows(const ConstView& rows, int64_t weights, RowType, void* values, float* scales);
// The look-up alone: out (chosen x columns, of the context's type, which is f32 or bf16) = the chosen rows.
void decode_rows(Context&, const ItemRows&, std::span<const int32_t> chosen, View out);

struct RequestShare {
  ConstView mix, base;
};
struct ScoreTail {
  ConstView out, bias;
};
// logits: chosen x tasks, f32. Takes scratch from the context's arena and gives it back.
void score_rows(Context&, const ItemRows&, std::span<const int32_t> chosen, const RequestShare&,
                const ScoreTail&, View logits);

}  // namespace lime
