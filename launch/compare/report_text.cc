// The report on the terminal and as Markdown.
#include "launch/compare/report.h"
#include "launch/text_table.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

const char* mark_of(const ReportCell& cell) { return cell.verdict > 0 ? " *" : cell.verdict < 0 ? " !" : ""; }

std::string escape_markdown(const std::string& text) {
  std::string safe;
  for (const char c : text)
    safe += c == '|' || c == '*' || c == '_' || c == '<' ? std::string("\\") + c : std::string(1, c);
  return safe;
}

std::string variants_of(const ComparisonResults& results, const char* bullet) {
  std::string text;
  for (const auto& model : results.models)
    if (!model.variant.empty()) text += str(bullet, model.name, ": ", model.variant, "\n");
  return text;
}

std::string settings_of(const ComparisonResults& results) {
  std::string text;
  for (const auto& setting : results.settings) text += str(text.empty() ? "; set " : ", ", setting);
  return text;
}

std::string failures_of(const ComparisonResults& results, const char* bullet) {
  std::string text;
  for (const auto& failure : results.failures)
    text += str(bullet, failure.run, " failed: ", failure.reason, " (", failure.log, ")\n");
  return text;
}

}  // namespace

std::string to_text(const ComparisonResults& results) {
  std::string text;
  for (const auto& task : results.task_names()) {
    text += str(task, ": ", measured_on(results, task), "; held out ", days_text(results.held_out_days),
                "; seeds ", joined(results.seeds), "\n");
    const ReportTable table = report_table(results, task);
    std::vector<std::vector<std::string>> lines{{"model"}};
    lines[0].insert(lines[0].end(), table.columns.begin(), table.columns.end());
    for (size_t m = 0; m < results.models.size(); ++m) {
      std::vector<std::string> line{results.models[m].name}, below{"  less " + results.baseline};
      bool compared = false;
      for (const auto& cell : table.models[m]) {
        line.push_back(cell.value + (cell.half_width.empty() ? "" : " " + cell.half_width + "  "));
        below.push_back(cell.difference.empty() ? ""
                                                : str(cell.difference, " ", cell.difference_half_width,
                                                      cell.verdict == 0 ? "  " : mark_of(cell)));
        compared = compared || !cell.difference.empty();
      }
      lines.push_back(line);
      if (compared) lines.push_back(below);
    }
    text += aligned_table(lines) + "\n";
  }
  return text + variants_of(results, "") + how_to_read(results, "* better", "! worse") + "\n" +
         failures_of(results, "");
}

std::string to_markdown(const ComparisonResults& results) {
  std::string text = str("# Comparison\n\n`", results.config, "` on `", results.data, "`: trained on ",
                         results.train_days, ", held out ", days_text(results.held_out_days), "; seeds ",
                         joined(results.seeds), settings_of(results), ".\n");
  for (const auto& task : results.task_names()) {
    text += str("\n## ", escape_markdown(task), "\n\n", measured_on(results, task), "\n\n| model |");
    const ReportTable table = report_table(results, task);
    for (const auto& column : table.columns) text += str(" ", column, " |");
    text += "\n| --- |";
    for (size_t c = 0; c < table.columns.size(); ++c) text += " ---: |";
    text += "\n";
    for (size_t m = 0; m < results.models.size(); ++m) {
      text += str("| ", escape_markdown(results.models[m].name), " |");
      for (const auto& cell : table.models[m]) {
        text += " " + cell.value;
        if (!cell.interval.empty()) text += str(" (", cell.interval, ")");
        if (!cell.difference.empty())
          text += str("<br>", cell.difference, " (", cell.difference_interval, ")",
                      cell.verdict > 0   ? " **better**"
                      : cell.verdict < 0 ? " **worse**"
                                         : "");
        text += " |";
      }
      text += "\n";
    }
    if (!results.baseline.empty() && results.models.size() > 1)
      text += str("\nBelow each value: its difference to ", escape_markdown(results.baseline), ".\n");
  }
  if (const auto variants = variants_of(results, "* "); !variants.empty()) text += "\n" + variants;
  text += "\n" + how_to_read(results, "**better**", "**worse**") + "\n";
  if (!results.failures.empty()) text += "\n" + failures_of(results, "* ");
  return text;
}

}  // namespace lime
