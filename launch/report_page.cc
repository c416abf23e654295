#include "launch/report_page.h"

#include "launch/chart.h"
#include "launch/version.h"
#include "runtime/error.h"

namespace lime {
namespace {

const char* const page_css = R"(
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}
:root{--back:#f4f5f7;--good:#12733f;--bad:#b3261e;--warn:#fff4e0}
@media (prefers-color-scheme:dark){:root{--back:#0d0f12;--good:#6cd39a;--bad:#ff9d94;--warn:#33280f}}
main{max-width:1400px;margin:0 auto;padding:32px 24px 48px}
h1{font-size:26px;line-height:1.2;margin:0 0 6px}h2{font-size:19px;margin:36px 0 2px}
p{margin:0 0 12px;color:var(--soft);max-width:100ch}code{font:13px ui-monospace,'DejaVu Sans Mono',monospace}
.facts{display:flex;flex-wrap:wrap;gap:4px 28px;margin:14px 0 0;padding:0}
.facts div{display:flex;gap:8px}.facts dt{color:var(--soft)}.facts dd{margin:0}
.card{background:var(--paper);border:1px solid var(--grid);border-radius:10px;padding:14px}
.wide{overflow-x:auto;margin:12px 0 16px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:8px 7px;text-align:right;white-space:nowrap;vertical-align:top;border-top:1px solid var(--grid)}
thead th{border-top:0;color:var(--soft);font-weight:600;font-size:12.5px;white-space:normal;vertical-align:bottom}
th:first-child{text-align:left}tbody th{font-weight:600}tbody th .key{vertical-align:middle;margin-right:8px}
td.plain{white-space:normal}td .value{font-weight:600}td small{display:block;color:var(--soft);font-size:11.5px}
td .difference{display:block;font-size:13px}.better{color:var(--good)}.worse{color:var(--bad)}
tbody th small{display:block;color:var(--soft);font-size:12px;font-weight:400}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,560px),1fr));gap:16px}
figure{margin:0;overflow-x:auto}figure .chart{display:block;width:100%;min-width:520px;height:auto}figcaption{color:var(--soft);font-size:13px;padding:4px 12px 2px}
.failures{background:var(--warn);margin:16px 0}.failures p{color:var(--ink)}.failures ul{margin:6px 0 0;padding-left:20px}
footer{margin-top:32px;color:var(--soft);font-size:13px}
@media print{body{background:none}.card{break-inside:avoid}}
)";

std::string fact(const std::string& name, const std::string& value) {
  return str("<div><dt>", name, "</dt><dd>", escape_xml(value), "</dd></div>\n");
}

}  // namespace

std::string figures_html(const std::vector<ReportFigure>& figures) {
  std::string html = "<div class=\"figures\">\n";
  for (const auto& figure : figures)
    html += str("<figure class=\"card\">\n", figure.svg, "<figcaption>", escape_xml(figure.caption),
                "</figcaption></figure>\n");
  return html + "</div>\n";
}

std::string report_page(const std::string& title,
                        const std::vector<std::pair<std::string, std::string>>& facts,
                        const std::string& body) {
  std::string html = str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n",
                         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
                         escape_xml(title), "</title>\n<style>\n", chart_css(), page_css,
                         "</style>\n</head>\n<body>\n<main>\n<header>\n<h1>", escape_xml(title),
                         "</h1>\n<dl class=\"facts\">\n");
  for (const auto& [name, value] : facts) html += fact(name, value);
  return str(html, "</dl>\n</header>\n", body, "<footer>lime ", escape_xml(build_info().version), ", ",
             escape_xml(build_info().commit), "</footer>\n</main>\n</body>\n</html>\n");
}

std::string days_text(const std::vector<std::string>& days) {
  if (days.size() < 2) return days.empty() ? "" : days.front();
  return str(days.front(), "..", days.back(), " (", days.size(), " days)");
}

}  // namespace lime
