// SvgCanvas: the few shapes that charts are made of, as SVG text. Used by chart*.cc alone.
#pragma once

#include <string>
#include <vector>

#include "launch/chart.h"

namespace lime {

struct Point {
  double x, y;  // px from the upper left corner
};

enum class TextAnchor : unsigned char { start, middle, end };

class SvgCanvas {
 public:
  SvgCanvas(const std::string& title, double width, double height, SvgUse);

  void line(const char* style, Point from, Point to);
  // The point's line breaks where a coordinate is NaN.
  void polyline(const std::string& style, const std::vector<Point>&);
  void polygon(const std::string& style, const std::vector<Point>&);
  void text(const char* style, Point at, TextAnchor, const std::string& text);
  // A slot's mark; `hint` appears under the pointer.
  void mark(int slot, Point at, const std::string& hint);
  // The slot's line and mark, `at` being the middle of its left end; 18 px wide.
  void key(int slot, Point at);
  std::string take();

 private:
  std::string text_;
};

// Width in px of a text in the charts' font, from above: there are no font metrics here.
double text_width(const std::string& text);

}  // namespace lime
