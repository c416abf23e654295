// A comparison's results for people and programs. All of them say the same; equal results give equal text.
#pragma once

#include <string>
#include <vector>

#include "launch/compare/results.h"
#include "launch/report_page.h"

namespace lime {

// For the terminal: a table a task, below each model's line that of its differences to the baseline.
std::string to_text(const ComparisonResults&);
std::string to_markdown(const ComparisonResults&);
// Every number there is, those of single seeds, other histories and curves among them; what is not defined is
// null.
std::string to_json(const ComparisonResults&);
// A page that refers to nothing outside of it: tables and charts (inline SVG), light or dark as the reader's
// system is. It is well-formed XML, too.
std::string to_html(const ComparisonResults&);

// --- what the texts share

// A table free of its format: one for each task.
struct ReportCell {
  std::string value;                // "0.7438"
  std::string interval;             // "0.7399 to 0.7477", or ""
  std::string half_width;           // "±0.0039", or ""
  std::string difference;           // "+0.0061", or ""
  std::string difference_interval;  // "+0.0049 to +0.0073"
  std::string difference_half_width;
  // Of the difference, where its interval excludes 0 and every seed agrees: 1 better than the baseline, -1
  // worse.
  int verdict = 0;
};
struct ReportTable {
  std::vector<std::string> columns;             // "AUC", ..., "requests/s", ...; without the model's
  std::vector<std::vector<ReportCell>> models;  // as ComparisonResults::models, by column
};
ReportTable report_table(const ComparisonResults&, const std::string& task);

// "56,658 rows of 17,213 users, 21,043 positive": what the task's table was measured on.
std::string measured_on(const ComparisonResults&, const std::string& task);
// What the intervals and marks mean, in a sentence or two. `better`, `worse`: the marks.
std::string how_to_read(const ComparisonResults&, const std::string& better, const std::string& worse);

std::vector<ReportFigure> task_figures(const ComparisonResults&, const std::string& task);
// Training curves; latency where it was measured.
std::vector<ReportFigure> run_figures(const ComparisonResults&);

}  // namespace lime
