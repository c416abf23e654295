#include "launch/chart_axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr const char* minus = "\xE2\x88\x92";

// 0.001 as "0.001", 2048 as "2,048"; as a power of ten where that would be long.
std::string plain_number(double value) {
  if (value != 0 && (std::abs(value) < 1e-4 || std::abs(value) >= 1e10)) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
  }
  const int digits =
      value == 0 ? 0 : std::max(0, -static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9)));
  return grouped(value, digits);
}

std::vector<Tick> linear_ticks(double low, double high, int most) {
  int exponent = static_cast<int>(std::floor(std::log10((high - low) / most)));
  for (;; ++exponent)
    for (const int leading : {1, 2, 5}) {
      const double step = leading * std::pow(10.0, exponent);
      // A value that is on the end of the range but for rounding belongs to it.
      const double first = std::ceil(low / step - 1e-6), last = std::floor(high / step + 1e-6);
      if (last - first + 1 > most) continue;
      std::vector<Tick> ticks;
      for (double i = first; i <= last; ++i) {
        // Divided by a power of ten, a tick is the double nearest to what is written beside it.
        const double multiple = i * leading;
        const double value =
            exponent < 0 ? multiple / std::pow(10.0, -exponent) : multiple * std::pow(10.0, exponent);
        ticks.push_back({value, grouped(value, std::max(0, -exponent))});
      }
      return ticks;
    }
}

// Powers of `base`, every one or every second, third, ... of them.
std::vector<Tick> power_ticks(double base, double low, double high, int most) {
  const double unit = std::log(base);
  const int first = static_cast<int>(std::ceil(std::log(low) / unit - 1e-9)),
            last = static_cast<int>(std::floor(std::log(high) / unit + 1e-9));
  std::vector<Tick> ticks;
  const int stride = std::max(1, (last - first + most) / most);
  for (int e = first; e <= last; e += stride) {
    const double value = std::pow(base, e);
    ticks.push_back({value, plain_number(value)});
  }
  return ticks;
}

// 1, 2 and 5 of each decade.
std::vector<Tick> within_decades(double low, double high) {
  std::vector<Tick> ticks;
  for (int e = static_cast<int>(std::floor(std::log10(low))); e <= std::floor(std::log10(high)); ++e)
    for (const int leading : {1, 2, 5}) {
      const double value = e < 0 ? leading / std::pow(10.0, -e) : leading * std::pow(10.0, e);
      if (value >= low && value <= high) ticks.push_back({value, plain_number(value)});
    }
  return ticks;
}

bool has_place(Scale scale, double value) {
  return std::isfinite(value) && (scale == Scale::linear || value > 0);
}

}  // namespace

std::vector<Tick> make_ticks(Scale scale, double low, double high, int most) {
  LIME_CHECK(low < high && most >= 2 && (scale == Scale::linear || low > 0), "range ", low, "..", high, ", ",
             most);
  if (scale != Scale::linear) {
    auto ticks = power_ticks(scale == Scale::log2 ? 2 : 10, low, high, most);
    if (ticks.size() >= 2) return ticks;
    ticks = within_decades(low, high);
    if (ticks.size() >= 2 && static_cast<int>(ticks.size()) <= most) return ticks;
  }
  return linear_ticks(low, high, most);
}

AxisRange cover(Scale scale, const std::vector<double>& values, double margin) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double value : values) {
    if (!has_place(scale, value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) return scale == Scale::linear ? AxisRange{0, 1} : AxisRange{1, 10};
  if (scale == Scale::linear) {
    // One value alone is in the middle of some room.
    const double room = high > low ? margin * (high - low) : (low == 0 ? 1.0 : std::abs(low) / 10);
    return {low - room, high + room};
  }
  const double room = high > low ? std::pow(high / low, margin) : 2.0;
  return {low / room, high * room};
}

double position_on(Scale scale, const AxisRange& range, double value) {
  if (!has_place(scale, value)) return std::numeric_limits<double>::quiet_NaN();
  if (scale == Scale::linear) return (value - range.low) / (range.high - range.low);
  return std::log(value / range.low) / std::log(range.high / range.low);
}

}  // namespace lime
