// The report in a real browser, without a screen: nothing overlaps, nothing is cut off, all is legible in
// light and dark. Skipped where there is no Chromium.
#include <gtest/gtest.h>

#include "launch/compare/report.h"
#include "runtime/error.h"
#include "tests/launch/compare/made_up_results.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

// Looks at the page as it was laid out, and leaves in place of it what is wrong.
constexpr const char* inspection = R"(<script>
const problems = [];
const overlaps = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
const luminance = colour => {
  const part = x => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = colour.match(/[\d.]+/g).map(Number);
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
const paperOf = element => {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (colour !== 'rgba(0, 0, 0, 0)') return luminance(colour);
  }
  return 1;
};
let texts = 0;
for (const svg of document.querySelectorAll('svg.chart')) {
  const title = svg.getAttribute('aria-label'), box = svg.getBoundingClientRect(), paper = paperOf(svg);
  const all = [...svg.querySelectorAll('text')].map(t => ({say: t.textContent, box: t.getBoundingClientRect(), t}));
  const marks = [...svg.querySelectorAll('.mark')].map(m => m.getBoundingClientRect());
  texts += all.length;
  all.forEach((a, i) => {
    if (a.box.left < box.left || a.box.right > box.right || a.box.top < box.top || a.box.bottom > box.bottom)
      problems.push(`${title}: ${a.say} is cut off`);
    for (const b of all.slice(i + 1)) if (overlaps(a.box, b.box)) problems.push(`${title}: ${a.say} overlaps ${b.say}`);
    for (const m of marks) if (overlaps(a.box, m)) problems.push(`${title}: ${a.say} lies over a mark`);
    if (contrast(luminance(getComputedStyle(a.t).fill), paper) < 4.5) problems.push(`${title}: ${a.say} is faint`);
  });
  for (const line of svg.querySelectorAll('path.line'))
    if (contrast(luminance(getComputedStyle(line).stroke), paper) < 2.5) problems.push(`${title}: a line is faint`);
}
for (const e of document.querySelectorAll('h1,h2,p,td,th,small,figcaption,.difference'))
  if (contrast(luminance(getComputedStyle(e).color), paperOf(e)) < 4.5) problems.push(`${e.textContent} is faint`);
if (document.documentElement.scrollWidth > innerWidth) problems.push('the page is wider than its window');
if (performance.getEntriesByType('resource').length) problems.push('something was loaded');
const dark = matchMedia('(prefers-color-scheme: dark)').matches && paperOf(document.body) < 0.1;
document.body.textContent = `${texts} texts, ${dark ? 'dark' : 'light'}: ${problems.length} problems. ${problems.slice(0, 9).join('; ')}`;
</script>)";

std::string browser() {
  const Outcome found =
      run_command("command -v chromium || command -v chromium-browser || command -v google-chrome");
  return found.out.substr(0, found.out.find('\n'));
}

class ReportInBrowser : public testing::TestWithParam<std::string> {};

TEST_P(ReportInBrowser, IsLegibleAndNothingOverlaps) {
  const std::string program = browser();
  if (program.empty()) GTEST_SKIP() << "no chromium to look at the page with";
  const TempDirectory temp;
  std::string page = to_html(made_up_results(true));
  page.insert(page.rfind("</body>"), inspection);
  write_file(temp.file("report.html"), page);
  for (const char* window : {"1400,2000", "700,2000", "420,2000"}) {
    const Outcome seen =
        run_command(str("timeout 60 ", program,
                        " --headless --no-sandbox --disable-gpu --user-data-dir=", temp.file("profile"),
                        " --blink-settings=preferredColorScheme=", GetParam() == "dark" ? 0 : 1,
                        " --window-size=", window, " --dump-dom file://", temp.file("report.html")));
    ASSERT_EQ(seen.exit_code, 0) << seen.err;
    const size_t body = seen.out.find("<body>");
    ASSERT_NE(body, std::string::npos) << seen.out.substr(0, 400);
    const std::string verdict = seen.out.substr(body + 6, seen.out.find("</body>") - body - 6);
    EXPECT_NE(verdict.find(" texts, " + GetParam() + ": 0 problems."), std::string::npos)
        << window << ": " << verdict;
    EXPECT_GT(std::stoi(verdict), 200) << verdict;
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, ReportInBrowser, testing::Values("light", "dark"),
                         [](const auto& scheme) { return scheme.param; });

}  // namespace
}  // namespace lime
