// The report as a page of its own.
#include "launch/chart.h"
#include "launch/compare/report.h"
#include "launch/version.h"
#include "runtime/error.h"
#include "runtime/text.h"

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

std::string cell_html(const ReportCell& cell) {
  if (cell.interval.empty() && cell.difference.empty())
    return str("<td class=\"plain\">", cell.value, "</td>");
  std::string html = str("<td><span class=\"value\">", cell.value, "</span>");
  if (!cell.interval.empty()) html += str("<small>", cell.interval, "</small>");
  if (!cell.difference.empty()) {
    const char* style = cell.verdict > 0 ? " better" : cell.verdict < 0 ? " worse" : "";
    const char* mark = cell.verdict > 0 ? "\xE2\x96\xB2 " : cell.verdict < 0 ? "\xE2\x96\xBC " : "";
    html += str("<span class=\"difference", style, "\">", mark, cell.difference, "</span><small>",
                cell.difference_interval, "</small>");
  }
  return html + "</td>";
}

std::string table_html(const ComparisonResults& results, const std::string& task) {
  const ReportTable table = report_table(results, task);
  std::string html = "<div class=\"card wide\"><table>\n<thead><tr><th>model</th>";
  for (const auto& column : table.columns) html += str("<th>", escape_xml(column), "</th>");
  html += "</tr></thead>\n<tbody>\n";
  for (size_t m = 0; m < results.models.size(); ++m) {
    const ComparedModel& model = results.models[m];
    const bool baseline = model.name == results.baseline && results.models.size() > 1;
    html += str("<tr><th>", chart_key(model.slot), escape_xml(model.name));
    if (baseline) html += "<small>baseline</small>";
    if (!model.variant.empty()) html += str("<small>", escape_xml(model.variant), "</small>");
    html += "</th>";
    for (const auto& cell : table.models[m]) html += cell_html(cell);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string figures_html(const std::vector<ReportFigure>& figures) {
  std::string html = "<div class=\"figures\">\n";
  for (const auto& figure : figures)
    html += str("<figure class=\"card\">\n", figure.svg, "<figcaption>", escape_xml(figure.caption),
                "</figcaption></figure>\n");
  return html + "</div>\n";
}

std::string failures_html(const ComparisonResults& results) {
  if (results.failures.empty()) return "";
  std::string html =
      "<div class=\"card failures\"><strong>Left out, as not all of their runs are whole:</strong>\n<ul>\n";
  for (const auto& failure : results.failures)
    html += str("<li>", escape_xml(str(failure.run, ": ", failure.reason)), " <code>",
                escape_xml(failure.log), "</code></li>\n");
  return html + "</ul></div>\n";
}

}  // namespace

std::string to_html(const ComparisonResults& results) {
  const auto tasks = results.task_names();
  const std::string title = str("Comparison on ", joined(tasks));
  std::string html = str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n",
                         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
                         escape_xml(title), "</title>\n<style>\n", chart_css(), page_css,
                         "</style>\n</head>\n<body>\n<main>\n");
  html += str("<header>\n<h1>", escape_xml(title), "</h1>\n<dl class=\"facts\">\n",
              fact("configuration", results.config), fact("data", results.data),
              fact("trained on", results.train_days), fact("held out", held_out(results)),
              fact("seeds", joined(results.seeds)),
              results.settings.empty() ? "" : fact("set", joined(results.settings)), "</dl>\n</header>\n");
  html += failures_html(results);
  for (const auto& task : tasks)
    html += str("<section>\n<h2>", escape_xml(task), "</h2>\n<p>", escape_xml(measured_on(results, task)),
                "</p>\n", table_html(results, task), "<p>",
                escape_xml(how_to_read(results, "\xE2\x96\xB2 better", "\xE2\x96\xBC worse")), "</p>\n",
                figures_html(task_figures(results, task)), "</section>\n");
  html += str("<section>\n<h2>Training</h2>\n", figures_html(run_figures(results)), "</section>\n");
  return html + str("<footer>lime ", escape_xml(build_info().version), ", ", escape_xml(build_info().commit),
                    "</footer>\n</main>\n</body>\n</html>\n");
}

}  // namespace lime
