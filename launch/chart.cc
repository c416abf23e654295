#include "launch/chart.h"

#include <algorithm>
#include <cmath>

#include "launch/svg_canvas.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr double top_margin = 56, bottom_margin = 48, name_height = 17, tick_room = 14;
constexpr size_t most_marks = 40;  // of a line; more of them would hide it

// Heights of names that stand as near as they can to the heights wanted (ascending), without overlapping.
std::vector<double> spread(std::vector<double> wanted, double top, double bottom) {
  for (size_t i = 0; i < wanted.size(); ++i)
    wanted[i] = std::max(wanted[i], i == 0 ? top : wanted[i - 1] + name_height);
  for (size_t i = wanted.size(); i-- > 0;)
    wanted[i] = std::min(wanted[i], i + 1 == wanted.size() ? bottom : wanted[i + 1] - name_height);
  return wanted;
}

class LineChart {
 public:
  LineChart(const Chart& chart, SvgUse use)
      : chart_(chart),
        bars_(chart.uncertainty == Uncertainty::bars),
        height_(std::max<double>(chart.height, top_margin + bottom_margin +
                                                   name_height * static_cast<double>(chart.series.size()))),
        canvas_(chart.title, chart.width, height_, use) {
    check();
    lay_out();
  }

  std::string draw() {
    canvas_.text("title", {12, 22}, TextAnchor::start, chart_.title);
    canvas_.text("label", {12, 43}, TextAnchor::start, chart_.y.label);
    draw_y_axis();
    draw_x_axis();
    if (!bars_)
      for (const auto& series : chart_.series) draw_band(series);
    for (size_t s = 0; s < chart_.series.size(); ++s) draw_series(s);
    draw_names();
    return canvas_.take();
  }

 private:
  void check() const {
    LIME_CHECK(chart_.x.names.empty() || chart_.x.scale == Scale::linear, "names on a logarithmic axis");
    for (const auto& s : chart_.series)
      LIME_CHECK(s.y.size() == s.x.size() && s.low.size() == s.high.size() &&
                     (s.low.empty() || s.low.size() == s.y.size()),
                 s.name, ": ", s.x.size(), " x, ", s.y.size(), " y, ", s.low.size(), " low, ", s.high.size(),
                 " high");
  }

  void lay_out() {
    std::vector<double> xs, ys;
    double name_width = 0;
    for (const auto& s : chart_.series) {
      xs.insert(xs.end(), s.x.begin(), s.x.end());
      for (const auto* values : {&s.y, &s.low, &s.high}) ys.insert(ys.end(), values->begin(), values->end());
      name_width = std::max(name_width, text_width(s.name));
    }
    const auto names = static_cast<double>(chart_.x.names.size());
    x_range_ = names > 0 ? AxisRange{-0.5, names - 0.5} : cover(chart_.x.scale, xs, 0.02);
    y_range_ = cover(chart_.y.scale, ys);
    y_ticks_ = make_ticks(chart_.y.scale, y_range_.low, y_range_.high, 8);
    double tick_width = 0;
    for (const auto& tick : y_ticks_) tick_width = std::max(tick_width, text_width(tick.label));
    left_ = 12 + tick_width + 8;
    right_ = chart_.width - 12 - (chart_.series.empty() ? 0.0 : name_width + 46);
    top_ = top_margin;
    bottom_ = height_ - bottom_margin;
  }

  double x_of(double x) const { return left_ + position_on(chart_.x.scale, x_range_, x) * (right_ - left_); }
  double y_of(double y) const {
    return bottom_ - position_on(chart_.y.scale, y_range_, y) * (bottom_ - top_);
  }
  // Series with bars stand side by side over a name, that their bars may be told apart.
  Point at(size_t s, double x, double y) const {
    const double middle = (static_cast<double>(chart_.series.size()) - 1) / 2;
    const double beside = bars_ && !chart_.x.names.empty() ? 7 * (static_cast<double>(s) - middle) : 0.0;
    return {x_of(x) + beside, y_of(y)};
  }

  void draw_y_axis() {
    for (const auto& tick : y_ticks_) {
      const double y = y_of(tick.value);
      canvas_.line("grid", {left_, y}, {right_, y});
      canvas_.text("tick", {left_ - 8, y + 4}, TextAnchor::end, tick.label);
    }
  }

  // As many values as have room beside each other.
  std::vector<Tick> x_ticks() const {
    const auto widest = [](const std::vector<Tick>& ticks) {
      double width = 0;
      for (const auto& tick : ticks) width = std::max(width, text_width(tick.label) + tick_room);
      return width;
    };
    if (const auto& names = chart_.x.names; !names.empty()) {
      std::vector<Tick> all, shown;
      for (size_t i = 0; i < names.size(); ++i) all.push_back({static_cast<double>(i), names[i]});
      const double room = (right_ - left_) / static_cast<double>(names.size());
      const auto stride = static_cast<size_t>(std::max(1.0, std::ceil(widest(all) / room)));
      for (size_t i = 0; i < all.size(); i += stride) shown.push_back(all[i]);
      return shown;
    }
    for (int most = 10;; --most) {
      auto ticks = make_ticks(chart_.x.scale, x_range_.low, x_range_.high, most);
      if (most == 2 || widest(ticks) * static_cast<double>(ticks.size() - 1) <= right_ - left_) return ticks;
    }
  }

  void draw_x_axis() {
    canvas_.line("axis", {left_, bottom_}, {right_, bottom_});
    for (const auto& tick : x_ticks()) {
      const double x = x_of(tick.value);
      canvas_.line("axis", {x, bottom_}, {x, bottom_ + 4});
      canvas_.text("tick", {x, bottom_ + 18}, TextAnchor::middle, tick.label);
    }
    canvas_.text("label", {(left_ + right_) / 2, bottom_ + 38}, TextAnchor::middle, chart_.x.label);
  }

  // One polygon for each stretch of points that have an interval.
  void draw_band(const ChartSeries& series) {
    std::vector<Point> upper, lower;
    for (size_t i = 0; i <= series.low.size(); ++i) {
      const double x = i < series.low.size() ? x_of(series.x[i]) : NAN;
      const Point low{x, i < series.low.size() ? y_of(series.low[i]) : NAN},
          high{x, i < series.low.size() ? y_of(series.high[i]) : NAN};
      if (std::isfinite(x) && std::isfinite(low.y) && std::isfinite(high.y)) {
        upper.push_back(high);
        lower.push_back(low);
        continue;
      }
      upper.insert(upper.end(), lower.rbegin(), lower.rend());
      if (lower.size() > 1) canvas_.polygon("band " + chart_slot_class(series.slot), upper);
      upper.clear();
      lower.clear();
    }
  }

  void draw_series(size_t s) {
    const ChartSeries& series = chart_.series[s];
    const std::string slot = chart_slot_class(series.slot);
    std::vector<Point> points;
    for (size_t i = 0; i < series.x.size(); ++i) points.push_back(at(s, series.x[i], series.y[i]));
    for (size_t i = 0; bars_ && i < series.low.size(); ++i) {
      const Point low = at(s, series.x[i], series.low[i]), high = at(s, series.x[i], series.high[i]);
      canvas_.polyline("whisker " + slot, {low, high});
    }
    canvas_.polyline("line " + slot, points);
    if (series.slot == ChartSeries::reference || points.size() > most_marks) return;
    for (size_t i = 0; i < points.size(); ++i) canvas_.mark(series.slot, points[i], hint(series, i));
  }

  std::string hint(const ChartSeries& series, size_t i) const {
    const auto& names = chart_.x.names;
    const std::string x = names.empty() ? str(series.x[i]) : names.at(static_cast<size_t>(series.x[i]));
    const std::string interval =
        series.low.empty() ? "" : str(" (", series.low[i], " to ", series.high[i], ")");
    return str(series.name, " at ", x, ": ", series.y[i], interval);
  }

  // Names right of the data in the order of the lines' ends, each joined to its end.
  void draw_names() {
    struct Name {
      size_t series;
      Point end;
    };
    std::vector<Name> names;
    for (size_t s = 0; s < chart_.series.size(); ++s) {
      Point end{right_, (top_ + bottom_) / 2};
      for (size_t i = 0; i < chart_.series[s].x.size(); ++i) {
        const Point p = at(s, chart_.series[s].x[i], chart_.series[s].y[i]);
        if (std::isfinite(p.x) && std::isfinite(p.y)) end = p;
      }
      names.push_back({s, end});
    }
    std::stable_sort(names.begin(), names.end(),
                     [](const Name& a, const Name& b) { return a.end.y < b.end.y; });
    std::vector<double> wanted;
    for (const auto& name : names) wanted.push_back(name.end.y);
    const auto heights = spread(wanted, top_ + 4, bottom_ - 4);
    for (size_t i = 0; i < names.size(); ++i) {
      const ChartSeries& series = chart_.series[names[i].series];
      if (names[i].end.x > right_ - 40)
        canvas_.polyline(
            "leader",
            {{names[i].end.x + 7, names[i].end.y}, {right_ + 2, names[i].end.y}, {right_ + 12, heights[i]}});
      canvas_.key(series.slot, {right_ + 16, heights[i]});
      canvas_.text("name", {right_ + 40, heights[i] + 4}, TextAnchor::start, series.name);
    }
  }

  const Chart& chart_;
  const bool bars_;
  const double height_;
  SvgCanvas canvas_;
  AxisRange x_range_{}, y_range_{};
  std::vector<Tick> y_ticks_;
  double left_ = 0, right_ = 0, top_ = 0, bottom_ = 0;
};

}  // namespace

std::string to_svg(const Chart& chart, SvgUse use) { return LineChart(chart, use).draw(); }

std::string to_svg(const IntervalChart& chart, SvgUse use) {
  constexpr double row_height = 26, top = 46, below = 56;
  const double bottom = top + row_height * static_cast<double>(chart.rows.size());
  SvgCanvas canvas(chart.title, chart.width, bottom + below, use);
  std::vector<double> values{chart.reference};
  double name_width = 0;
  for (const auto& row : chart.rows) {
    values.insert(values.end(), {row.value, row.low, row.high});
    values.insert(values.end(), row.singles.begin(), row.singles.end());
    name_width = std::max(name_width, text_width(row.name));
  }
  const AxisRange range = cover(chart.x.scale, values, 0.06);
  const double left = 12 + name_width + 16, right = chart.width - 24;
  const auto x_of = [&](double x) { return left + position_on(chart.x.scale, range, x) * (right - left); };

  canvas.text("title", {12, 22}, TextAnchor::start, chart.title);
  const int most = std::max(2, static_cast<int>((right - left) / 80));
  for (const auto& tick : make_ticks(chart.x.scale, range.low, range.high, most)) {
    canvas.line("grid", {x_of(tick.value), top}, {x_of(tick.value), bottom});
    canvas.text("tick", {x_of(tick.value), bottom + 18}, TextAnchor::middle, tick.label);
  }
  canvas.line("axis", {left, bottom}, {right, bottom});
  canvas.line("zero", {x_of(chart.reference), top}, {x_of(chart.reference), bottom});
  for (size_t r = 0; r < chart.rows.size(); ++r) {
    const IntervalRow& row = chart.rows[r];
    const double y = top + row_height * (static_cast<double>(r) + 0.5);
    canvas.text("name", {left - 16, y + 4}, TextAnchor::end, row.name);
    for (const double x : row.singles)
      canvas.polyline("single " + chart_slot_class(row.slot), {{x_of(x), y - 8}, {x_of(x), y + 8}});
    canvas.polyline("whisker " + chart_slot_class(row.slot), {{x_of(row.low), y}, {x_of(row.high), y}});
    canvas.mark(row.slot, {x_of(row.value), y},
                str(row.name, ": ", row.value, " (", row.low, " to ", row.high, ")"));
  }
  canvas.text("label", {(left + right) / 2, bottom + 40}, TextAnchor::middle, chart.x.label);
  if (!chart.left.empty())
    canvas.text("label", {left, bottom + 40}, TextAnchor::start, "\xE2\x86\x90 " + chart.left);
  if (!chart.right.empty())
    canvas.text("label", {right, bottom + 40}, TextAnchor::end, chart.right + " \xE2\x86\x92");
  return canvas.take();
}

}  // namespace lime
