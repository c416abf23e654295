// Charts as SVG text: lines over a linear, logarithmic or named axis, and intervals about a reference.
//
// Nothing is referred to outside of the text: no script, font, image or style sheet. Colours are CSS
// variables with a light and a dark set, chosen by the reader's prefers-color-scheme; they are told apart by
// colour-blind readers, and each series has a mark of its own shape beside its colour. Names stand in a
// column of their own right of the data, each near its line's end, so that no legend covers anything. The
// same chart gives the same text.
#pragma once

#include <string>
#include <vector>

#include "launch/chart_axis.h"

namespace lime {

struct ChartAxis {
  std::string label;  // with its unit: "candidates a request", "median latency (ms)"
  Scale scale = Scale::linear;
  std::vector<std::string> names;  // of the x axis: not empty, values are indices of these
};

struct ChartSeries {
  std::string name;
  std::vector<double> x, y;  // of one length; a y without a place (NaN, <= 0 on a log axis) breaks the line
  std::vector<double> low, high;  // interval of each y; empty: none
  // Colour and mark: the same thing has the same slot in all charts. There are eight; the next eight have
  // dashed lines.
  int slot = 0;

  static constexpr int reference = -1;  // as slot: a dashed line in a quiet colour, without marks ("ideal")
};

enum class Uncertainty : unsigned char { band, bars };

struct Chart {
  std::string title;
  ChartAxis x, y;
  std::vector<ChartSeries> series;
  Uncertainty uncertainty = Uncertainty::band;
  int width = 640, height = 380;  // in px; grows if so many names need it
};

// An estimate with its interval in each row, from above, about a vertical reference line: a forest plot.
struct IntervalRow {
  std::string name;
  double value = 0, low = 0, high = 0;  // NaN: the row stays empty
  std::vector<double> singles;          // single measurements behind the estimate: small ticks
  int slot = 0;
};
struct IntervalChart {
  std::string title;
  ChartAxis x;
  std::vector<IntervalRow> rows;
  double reference = 0;
  std::string left, right;  // what it means to be on either side: "worse", "better"; or ""
  int width = 640;
};

// `inside`: part of a page that has chart_css() in its style; `alone`: a file of its own.
enum class SvgUse : unsigned char { inside, alone };
std::string to_svg(const Chart&, SvgUse);
std::string to_svg(const IntervalChart&, SvgUse);

// The style of charts, and the colours that a page around them can share: --ink, --soft, --grid, --axis,
// --paper, and --c, which classes s0..s7 (`chart_slot_class`) set to their slot's colour.
std::string chart_css();
std::string chart_slot_class(int slot);  // "s2", "s2 second", "reference"
// A small picture of the slot's line and mark, for legends in text and tables.
std::string chart_key(int slot);

// & < > " ' as entities; control characters, which XML does not allow, as spaces.
std::string escape_xml(const std::string& text);

}  // namespace lime
