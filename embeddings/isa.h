// Loops over rows compiled twice on x86-64: for any CPU, and for those with AVX2. Internal to embeddings/.
//
// Only the width of vectors differs: no fused multiply-add, no reordered sums, so both give the same bits.
#pragma once

#define LIME_INLINE __attribute__((always_inline))

namespace lime {

#if defined(__x86_64__)
template <typename Body>
__attribute__((target("avx2"))) void run_avx2(const Body& body) {
  body();
}
inline bool cpu_has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

// Runs `body`, a lambda marked LIME_INLINE that calls nothing but inline functions marked so.
template <typename Body>
void with_widest_vectors(const Body& body) {
#if defined(__x86_64__)
  if (cpu_has_avx2()) return run_avx2(body);
#endif
  body();
}

}  // namespace lime
