#include "launch/svg_canvas.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "runtime/error.h"

namespace lime {
namespace {

constexpr int slots = 8;

// Colours of neighbouring slots differ in lightness as well as in hue.
constexpr std::array<const char*, slots> light = {"#2a78d6", "#d9590f", "#118a5f", "#7a3fb8",
                                                  "#c98a00", "#d03a6f", "#3e4a59", "#0f8f9c"};
constexpr std::array<const char*, slots> dark = {"#5aa2f2", "#f08a4b", "#3fbf8f", "#b78af0",
                                                 "#e3b341", "#f277a3", "#b4bfcc", "#4cc3d0"};

// About the origin, some 8 px wide.
constexpr std::array<const char*, slots> marks = {
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",                           // circle
    "M-3.6,-3.6h7.2v7.2h-7.2z",                                      // square
    "M0,-5l5,5l-5,5l-5,-5z",                                         // diamond
    "M0,-4.8l4.8,8.4h-9.6z",                                         // triangle
    "M0,4.8l4.8,-8.4h-9.6z",                                         // triangle, point down
    "M-1.7,-4.8h3.4v3.1h3.1v3.4h-3.1v3.1h-3.4v-3.1h-3.1v-3.4h3.1z",  // plus
    "M0,-2.3l2.7,-2.7l2.3,2.3l-2.7,2.7l2.7,2.7l-2.3,2.3l-2.7,-2.7l-2.7,2.7l-2.3,-2.3l2.7,-2.7l-2.7,-2.7l2.3,-"
    "2.3z",                                    // x
    "M-5,0l2.5,-4.3h5l2.5,4.3l-2.5,4.3h-5z"};  // hexagon

std::string px(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  std::string number = text;
  number.erase(number.find_last_not_of('0') + 1);
  if (number.back() == '.') number.pop_back();
  return number == "-0" ? "0" : number;
}

std::string pair(Point p) { return px(p.x) + "," + px(p.y); }

bool is_placed(Point p) { return std::isfinite(p.x) && std::isfinite(p.y); }

std::string variables(const std::array<const char*, slots>& colours, const char* rest) {
  std::string text = rest;
  for (size_t s = 0; s < colours.size(); ++s) text += str("--s", s, ":", colours[s], ";");
  return text;
}

std::string key_shapes(int slot, Point at) {
  std::string text = str("<path class=\"line ", chart_slot_class(slot), "\" d=\"M", pair(at), "h18\"/>");
  if (slot != ChartSeries::reference)
    text += str("<path class=\"mark ", chart_slot_class(slot), "\" transform=\"translate(",
                pair({at.x + 9, at.y}), ")\" d=\"", marks[static_cast<size_t>(slot) % slots], "\"/>");
  return text;
}

}  // namespace

std::string escape_xml(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return safe;
}

std::string chart_slot_class(int slot) {
  if (slot == ChartSeries::reference) return "reference";
  return str("s", slot % slots, slot < slots ? "" : slot < 2 * slots ? " second" : " third");
}

std::string chart_css() {
  const std::string by_day =
      variables(light, "--ink:#1a1d21;--soft:#575e67;--grid:#e5e8eb;--axis:#a3abb4;--paper:#ffffff;");
  const std::string by_night =
      variables(dark, "--ink:#e8eaed;--soft:#a7afb9;--grid:#2d333b;--axis:#636c77;--paper:#16191d;");
  std::string css = str(":root{color-scheme:light dark;", by_day,
                        "}\n@media (prefers-color-scheme:dark){:root{", by_night, "}}\n");
  for (int s = 0; s < slots; ++s) css += str(".s", s, "{--c:var(--s", s, ")}");
  return css +
         ".reference{--c:var(--soft)}\n"
         ".chart text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:var(--soft);"
         "font-variant-numeric:tabular-nums}\n"
         ".chart text.title{font-size:14px;font-weight:600;fill:var(--ink)}.chart "
         "text.name{fill:var(--ink)}\n"
         ".chart path,.chart line,.key path{fill:none}\n"
         ".chart .grid{stroke:var(--grid)}.chart .axis{stroke:var(--axis)}.chart "
         ".leader{stroke:var(--grid)}\n"
         ".chart .zero{stroke:var(--axis);stroke-dasharray:4 3}\n"
         ".chart .line,.key "
         ".line{stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
         ".second.line{stroke-dasharray:7 4}.third.line{stroke-dasharray:1 4}\n"
         ".chart .reference.line{stroke-width:1.2;stroke-dasharray:4 4}\n"
         ".chart .band{fill:var(--c);opacity:.14}.chart .whisker{stroke:var(--c);stroke-width:1.4}.chart "
         ".single{stroke:var(--c);opacity:.55}\n"
         ".chart .mark,.chart .mark path,.key .mark{fill:var(--c);stroke:var(--paper)}\n";
}

std::string chart_key(int slot) {
  return str("<svg class=\"key\" width=\"18\" height=\"12\" viewBox=\"0 0 18 12\" aria-hidden=\"true\">",
             key_shapes(slot, {0, 6}), "</svg>");
}

double text_width(const std::string& text) {
  double width = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0u) == 0x80u)
      continue;  // goes on with a character of several bytes
    width += c == 'i' || c == 'l' || c == '.' || c == ','   ? 4.2
             : c == 'm' || c == 'w' || c == 'W' || c == 'M' ? 11.2
                                                            : 7.7;
  }
  return width;
}

SvgCanvas::SvgCanvas(const std::string& title, double width, double height, SvgUse use) {
  const std::string w = px(width), h = px(height), name = escape_xml(title);
  text_ = str("<svg class=\"chart\"", use == SvgUse::alone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "",
              " width=\"", w, "\" height=\"", h, "\" viewBox=\"0 0 ", w, " ", h,
              "\" role=\"img\" aria-label=\"", name, "\">\n");
  if (use == SvgUse::alone)
    text_ += str("<style>\n", chart_css(), "</style>\n<rect width=\"", w, "\" height=\"", h,
                 "\" fill=\"var(--paper)\"/>\n");
}

void SvgCanvas::line(const char* style, Point from, Point to) {
  text_ += str("<line class=\"", style, "\" x1=\"", px(from.x), "\" y1=\"", px(from.y), "\" x2=\"", px(to.x),
               "\" y2=\"", px(to.y), "\"/>\n");
}

void SvgCanvas::polyline(const std::string& style, const std::vector<Point>& points) {
  std::string d;
  bool pen_down = false;
  for (const Point p : points) {
    if (is_placed(p)) d += str(pen_down ? "L" : "M", pair(p));
    pen_down = is_placed(p);
  }
  if (!d.empty()) text_ += str("<path class=\"", style, "\" d=\"", d, "\"/>\n");
}

void SvgCanvas::polygon(const std::string& style, const std::vector<Point>& points) {
  std::string d;
  for (const Point p : points) d += str(d.empty() ? "M" : "L", pair(p));
  if (!d.empty()) text_ += str("<path class=\"", style, "\" d=\"", d, "z\"/>\n");
}

void SvgCanvas::text(const char* style, Point at, TextAnchor anchor, const std::string& text) {
  const char* const name = anchor == TextAnchor::middle ? "middle"
                           : anchor == TextAnchor::end  ? "end"
                                                        : "start";
  text_ += str("<text class=\"", style, "\" x=\"", px(at.x), "\" y=\"", px(at.y), "\" text-anchor=\"", name,
               "\">", escape_xml(text), "</text>\n");
}

void SvgCanvas::mark(int slot, Point at, const std::string& hint) {
  if (!is_placed(at)) return;
  text_ +=
      str("<g class=\"mark ", chart_slot_class(slot), "\" transform=\"translate(", pair(at), ")\"><title>",
          escape_xml(hint), "</title><path d=\"", marks[static_cast<size_t>(slot) % slots], "\"/></g>\n");
}

void SvgCanvas::key(int slot, Point at) { text_ += key_shapes(slot, at) + "\n"; }

std::string SvgCanvas::take() { return std::move(text_) + "</svg>\n"; }

}  // namespace lime
