// The report as a page of its own.
#include "launch/chart.h"
#include "launch/compare/report.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

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
  std::vector<std::pair<std::string, std::string>> facts = {{"configuration", results.config},
                                                            {"data", results.data},
                                                            {"trained on", results.train_days},
                                                            {"held out", days_text(results.held_out_days)},
                                                            {"seeds", joined(results.seeds)}};
  if (!results.settings.empty()) facts.emplace_back("set", joined(results.settings));
  std::string body = failures_html(results);
  for (const auto& task : tasks)
    body += str("<section>\n<h2>", escape_xml(task), "</h2>\n<p>", escape_xml(measured_on(results, task)),
                "</p>\n", table_html(results, task), "<p>",
                escape_xml(how_to_read(results, "\xE2\x96\xB2 better", "\xE2\x96\xBC worse")), "</p>\n",
                figures_html(task_figures(results, task)), "</section>\n");
  body += str("<section>\n<h2>Training</h2>\n", figures_html(run_figures(results)), "</section>\n");
  return report_page(str("Comparison on ", joined(tasks)), facts, body);
}

}  // namespace lime
