// Charts: the ticks of axes, where points lie, what is beside what, and that the text is a well-formed
// picture.
#include "launch/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "runtime/error.h"
#include "tests/launch/xml_check.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> labels(const std::vector<Tick>& ticks) {
  std::vector<std::string> list;
  for (const auto& tick : ticks) list.push_back(tick.label);
  return list;
}

TEST(Ticks, LinearOnesAreRoundAndFew) {
  EXPECT_THAT(labels(make_ticks(Scale::linear, 0.7312, 0.7468, 8)),
              ElementsAre("0.732", "0.734", "0.736", "0.738", "0.740", "0.742", "0.744", "0.746"));
  EXPECT_THAT(labels(make_ticks(Scale::linear, 0.7312, 0.7468, 4)), ElementsAre("0.735", "0.740", "0.745"));
  EXPECT_THAT(labels(make_ticks(Scale::linear, 0, 3000, 7)),
              ElementsAre("0", "500", "1,000", "1,500", "2,000", "2,500", "3,000"));
  EXPECT_THAT(labels(make_ticks(Scale::linear, -0.011, 0.011, 4)), ElementsAre("\xE2\x88\x92"
                                                                               "0.01",
                                                                               "0.00", "0.01"));
}

TEST(Ticks, ATickIsTheNumberWrittenBesideIt) {
  for (const auto& tick : make_ticks(Scale::linear, 0.1, 0.9, 10))
    EXPECT_EQ(tick.value, std::stod(tick.label));
}

TEST(Ticks, LogarithmicOnesArePowers) {
  EXPECT_THAT(labels(make_ticks(Scale::log2, 64, 32768, 10)),
              ElementsAre("64", "128", "256", "512", "1,024", "2,048", "4,096", "8,192", "16,384", "32,768"));
  EXPECT_THAT(labels(make_ticks(Scale::log2, 64, 32768, 5)),
              ElementsAre("64", "256", "1,024", "4,096", "16,384"));
  EXPECT_THAT(labels(make_ticks(Scale::log10, 0.02, 3000, 8)), ElementsAre("0.1", "1", "10", "100", "1,000"));
  EXPECT_THAT(labels(make_ticks(Scale::log10, 0.015, 0.7, 8)),
              ElementsAre("0.02", "0.05", "0.1", "0.2", "0.5"));
  EXPECT_THAT(labels(make_ticks(Scale::log10, 3.1, 3.9, 5)), ElementsAre("3.2", "3.4", "3.6", "3.8"));
}

TEST(Ticks, CoverLeavesARoomAndAnswersForNoData) {
  const AxisRange linear = cover(Scale::linear, {1, NAN, 3}, 0.1);
  EXPECT_DOUBLE_EQ(linear.low, 0.8);
  EXPECT_DOUBLE_EQ(linear.high, 3.2);
  const AxisRange log = cover(Scale::log10, {-5, 0, 1, 100}, 0.5);
  EXPECT_DOUBLE_EQ(log.low, 0.1);
  EXPECT_DOUBLE_EQ(log.high, 1000);
  EXPECT_LT(cover(Scale::linear, {}).low, cover(Scale::linear, {}).high);
  EXPECT_LT(cover(Scale::linear, {0.5}).low, 0.5);
  EXPECT_GT(cover(Scale::log2, {8}).high, 8);
}

Chart latency() {
  Chart chart;
  chart.title = "Latency";
  chart.x = {"candidates a request", Scale::log2, {}};
  chart.y = {"median (ms)", Scale::log10, {}};
  chart.series = {{"lime_xor", {64, 256, 1024}, {1, 1.1, 1.3}, {0.9, 1, 1.2}, {1.2, 1.3, 1.5}, 0},
                  {"hstu", {64, 256, 1024}, {2, 20, 200}, {}, {}, 1}};
  return chart;
}

struct Spot {
  double x, y;
};

Spot spot_of(const XmlElement& mark) {
  Spot spot{};
  EXPECT_EQ(std::sscanf(mark.attributes.at("transform").c_str(), "translate(%lf,%lf)", &spot.x, &spot.y), 2);
  return spot;
}

// Marks of the data, not those beside names.
std::vector<XmlElement> data_marks(const std::vector<XmlElement>& picture, const std::string& slot) {
  std::vector<XmlElement> marks;
  for (const auto& element : with_class(picture, "mark"))
    if (element.name == "g" && element.has_class(slot)) marks.push_back(element);
  return marks;
}

const XmlElement& text_that_says(const std::vector<XmlElement>& picture, const std::string& what) {
  for (const auto& element : picture)
    if (element.name == "text" && element.text == what) return element;
  throw Error("no text " + what);
}

TEST(LineChart, PointsLieWhereTheAxesSay) {
  const auto picture = parse_xml(to_svg(latency(), SvgUse::alone));
  const auto marks = data_marks(picture, "s1");
  ASSERT_EQ(marks.size(), 3u);
  for (const auto& [label, i] :
       std::vector<std::pair<std::string, size_t>>{{"64", 0}, {"256", 1}, {"1,024", 2}})
    EXPECT_NEAR(spot_of(marks[i]).x, text_that_says(picture, label).number("x"), 0.02) << label;
  // 2 and 200 are two decades apart, as 1 and 100 are; 20 is half-way.
  const double decade =
      text_that_says(picture, "10").number("y") - text_that_says(picture, "100").number("y");
  EXPECT_GT(decade, 20);
  EXPECT_NEAR(spot_of(marks[0]).y - spot_of(marks[2]).y, 2 * decade, 0.05);
  EXPECT_NEAR(spot_of(marks[0]).y - spot_of(marks[1]).y, decade, 0.05);
  EXPECT_NEAR(spot_of(data_marks(picture, "s0")[0]).y, text_that_says(picture, "1").number("y") - 4, 0.02);
}

TEST(LineChart, NamesStandRightOfTheDataApartFromEachOther) {
  Chart chart = latency();
  chart.series.clear();
  for (int s = 0; s < 24; ++s)  // all lines end at about the same point
    chart.series.push_back({str("model_", s), {64, 128}, {1.0 + s, 10 + 1e-3 * s}, {}, {}, s});
  const auto picture = parse_xml(to_svg(chart, SvgUse::inside));
  double rightmost = 0;
  for (const auto& mark : with_class(picture, "mark"))
    if (mark.name == "g") rightmost = std::max(rightmost, spot_of(mark).x);
  std::vector<double> heights;
  for (const auto& name : with_class(picture, "name")) {
    EXPECT_GT(name.number("x"), rightmost + 5);
    heights.push_back(name.number("y"));
  }
  ASSERT_EQ(heights.size(), 24u);
  std::sort(heights.begin(), heights.end());
  for (size_t i = 1; i < heights.size(); ++i) EXPECT_GE(heights[i] - heights[i - 1], 16.9);
  const double height = picture[0].number("height");
  EXPECT_GE(heights.front(), 40);
  EXPECT_LE(heights.back(), height - 40);
}

TEST(LineChart, AGapBreaksTheLineAndHasNoMark) {
  Chart chart = latency();
  chart.series = {{"a", {1, 2, 4, 8}, {1, NAN, 3, 0}, {}, {}, 0}};
  const auto picture = parse_xml(to_svg(chart, SvgUse::inside));
  EXPECT_EQ(data_marks(picture, "s0").size(), 2u);
  std::string line;
  for (const auto& element : with_class(picture, "line"))
    if (line.empty()) line = element.attributes.at("d");
  EXPECT_EQ(std::count(line.begin(), line.end(), 'M'), 2) << line;
  EXPECT_THAT(to_svg(chart, SvgUse::inside), Not(HasSubstr("nan")));
}

TEST(LineChart, BandsAndBarsEncloseTheirPoints) {
  auto picture = parse_xml(to_svg(latency(), SvgUse::inside));
  ASSERT_EQ(with_class(picture, "band").size(), 1u);
  const std::string band = with_class(picture, "band")[0].attributes.at("d");
  EXPECT_EQ(std::count(band.begin(), band.end(), 'L'), 5);  // six corners
  Chart chart = latency();
  chart.uncertainty = Uncertainty::bars;
  picture = parse_xml(to_svg(chart, SvgUse::inside));
  EXPECT_TRUE(with_class(picture, "band").empty());
  const auto whiskers = with_class(picture, "whisker");
  const auto marks = data_marks(picture, "s0");
  ASSERT_EQ(whiskers.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    Spot low{}, high{};
    ASSERT_EQ(std::sscanf(whiskers[i].attributes.at("d").c_str(), "M%lf,%lfL%lf,%lf", &low.x, &low.y, &high.x,
                          &high.y),
              4);
    EXPECT_EQ(low.x, spot_of(marks[i]).x);
    EXPECT_GT(low.y, spot_of(marks[i]).y);
    EXPECT_LT(high.y, spot_of(marks[i]).y);
  }
}

TEST(LineChart, NamedPlacesAreLeftOutWhereTheyHaveNoRoom) {
  Chart chart;
  chart.title = "AUC by day";
  chart.uncertainty = Uncertainty::bars;
  std::vector<double> x, y;
  for (int day = 0; day < 30; ++day) {
    chart.x.names.push_back(str("2022-05-", day + 10));
    x.push_back(day);
    y.push_back(0.7);
  }
  chart.series = {{"a", x, y, {}, {}, 0}, {"b", x, y, {}, {}, 1}};
  const auto picture = parse_xml(to_svg(chart, SvgUse::inside));
  std::vector<double> places;
  for (const auto& tick : with_class(picture, "tick"))
    if (tick.text.starts_with("2022")) places.push_back(tick.number("x"));
  ASSERT_GE(places.size(), 3u);
  for (size_t i = 1; i < places.size(); ++i) EXPECT_GE(places[i] - places[i - 1], 80);
  // Two series over one day stand side by side.
  EXPECT_NEAR(spot_of(data_marks(picture, "s1")[0]).x - spot_of(data_marks(picture, "s0")[0]).x, 7, 0.02);
}

TEST(LineChart, LongNumbersBelowTheAxisHaveRoom) {
  Chart chart;
  chart.title = "long";
  chart.series = {{"a", {0, 9e8}, {0, 1}, {}, {}, 0}};
  std::vector<double> places;
  for (const auto& tick : with_class(parse_xml(to_svg(chart, SvgUse::inside)), "tick"))
    if (tick.attributes.at("text-anchor") == "middle") places.push_back(tick.number("x"));
  ASSERT_GE(places.size(), 3u);
  for (size_t i = 1; i < places.size(); ++i) EXPECT_GE(places[i] - places[i - 1], 80);  // "100,000,000"
}

TEST(LineChart, TextIsEscaped) {
  Chart chart = latency();
  chart.title = "a < b & \"c\"\n'd'";
  chart.series[0].name = "<script>";
  const std::string svg = to_svg(chart, SvgUse::alone);
  EXPECT_THAT(svg, Not(HasSubstr("<script>")));
  const auto picture = parse_xml(svg);
  EXPECT_EQ(with_class(picture, "title")[0].text, "a < b & \"c\" 'd'");
  EXPECT_EQ(text_that_says(picture, "<script>").text, "<script>");
}

TEST(LineChart, IsAFileOfItsOwnOrPartOfAPage) {
  const std::string alone = to_svg(latency(), SvgUse::alone), inside = to_svg(latency(), SvgUse::inside);
  EXPECT_EQ(parse_xml(alone)[0].attributes.at("xmlns"), "http://www.w3.org/2000/svg");
  EXPECT_THAT(alone, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(inside, Not(HasSubstr("<style>")));
  for (const auto& element : parse_xml(alone))
    for (const char* outside : {"href", "src"}) EXPECT_FALSE(element.attributes.contains(outside));
  EXPECT_THAT(alone, Not(HasSubstr("url(")));
  EXPECT_EQ(alone, to_svg(latency(), SvgUse::alone));
}

TEST(LineChart, WithoutDataIsStillAPicture) {
  Chart chart;
  chart.title = "nothing";
  EXPECT_NO_THROW(parse_xml(to_svg(chart, SvgUse::alone)));
  chart.series = {{"a", {}, {}, {}, {}, 0}};
  EXPECT_NO_THROW(parse_xml(to_svg(chart, SvgUse::alone)));
}

TEST(LineChart, SlotsDifferInColourAndMark) {
  Chart chart = latency();
  chart.series.clear();
  for (int s = 0; s < 8; ++s) chart.series.push_back({str(s), {1, 2}, {1, 2}, {}, {}, s});
  chart.series.push_back({"ideal", {1, 2}, {1, 2}, {}, {}, ChartSeries::reference});
  const auto picture = parse_xml(to_svg(chart, SvgUse::inside));
  std::set<std::string> shapes;
  for (const auto& element : picture)
    if (element.name == "path" && !element.ancestors.empty() && element.ancestors.back() == "g")
      shapes.insert(element.attributes.at("d"));
  EXPECT_EQ(shapes.size(), 8u);
  EXPECT_TRUE(data_marks(picture, "reference").empty());
  std::set<std::string> lines;
  for (int s = 0; s < 24; ++s) lines.insert(chart_slot_class(s));
  EXPECT_EQ(lines.size(), 24u);
}

TEST(IntervalChart, RowsLieAboutTheReference) {
  IntervalChart chart;
  chart.title = "AUC less hstu's";
  chart.x.label = "difference";
  chart.rows = {{"better", 0.01, 0.005, 0.015, {0.009, 0.011}, 0},
                {"worse", -0.01, -0.02, -0.005, {}, 1},
                {"unknown", NAN, NAN, NAN, {}, 2}};
  const auto picture = parse_xml(to_svg(chart, SvgUse::inside));
  const double zero = with_class(picture, "zero")[0].number("x1");
  EXPECT_NEAR(zero, text_that_says(picture, "0.00").number("x"), 0.02);
  EXPECT_GT(spot_of(data_marks(picture, "s0")[0]).x, zero);
  EXPECT_LT(spot_of(data_marks(picture, "s1")[0]).x, zero);
  EXPECT_TRUE(data_marks(picture, "s2").empty());
  EXPECT_EQ(with_class(picture, "single").size(), 2u);
  EXPECT_NEAR(spot_of(data_marks(picture, "s0")[0]).y, text_that_says(picture, "better").number("y") - 4,
              0.02);
}

}  // namespace
}  // namespace lime
