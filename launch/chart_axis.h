// Axes of charts: where values lie, and which of them are written beside the axis.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lime {

enum class Scale : uint8_t { linear, log2, log10 };

struct Tick {
  double value;
  std::string label;  // "0.740", "1,024", "1e-6"; a negative one has the typographic minus
};

// At most `most` (>= 2) round values within [low, high], ascending: multiples of 1, 2 or 5 times a power of
// ten on a linear axis, powers of two or ten on the others. Where fewer than two powers lie within, 1-2-5
// steps within a decade, then the linear ones, take their place. low < high, both > 0 on a logarithmic axis.
std::vector<Tick> make_ticks(Scale, double low, double high, int most);

// The values an axis covers: what the data covers and a margin on either side. On a logarithmic axis values
// <= 0 do not count, as those that are not finite do not on any. No values at all: [0, 1], or [1, 10].
struct AxisRange {
  double low, high;
};
AxisRange cover(Scale, const std::vector<double>& values, double margin = 0.04);

// Where in [0, 1] between low and high a value lies (beyond, where it does; NaN if it has no place on the
// scale).
double position_on(Scale, const AxisRange&, double value);

}  // namespace lime
