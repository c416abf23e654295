#include "io/import_rows.h"

#include <algorithm>

namespace lime {

void BadRows::add(const BadRow& error) {
  constexpr size_t examples = 5;
  if (report_.bad_rows == allowed_) {
    if (allowed_ == 0) throw UserError(error.what());
    throw UserError(str(error.what(), " (after ", allowed_, " bad rows, all that max_bad_rows allows)"));
  }
  ++report_.bad_rows;
  if (report_.bad_examples.size() < examples) report_.bad_examples.emplace_back(error.what());
}

void LabelMeans::add(const RequestRow& request) {
  for (const auto& candidate : request.candidates)
    for (size_t k = 0; k < sums_.size(); ++k) sums_[k] += static_cast<double>(candidate.labels[k]);
  candidates_ += static_cast<int64_t>(request.candidates.size());
}

std::vector<double> LabelMeans::means() const {
  std::vector<double> out = sums_;
  for (auto& value : out) value /= static_cast<double>(std::max<int64_t>(candidates_, 1));
  return out;
}

void describe(const Dataset& dataset, const LabelMeans& labels, ImportReport& report) {
  report.events = dataset.events();
  report.users = dataset.users();
  report.items = dataset.items();
  report.days = static_cast<int64_t>(dataset.days().size());
  for (const auto& day : dataset.days()) {
    report.requests += day.requests;
    report.candidates += day.candidates;
  }
  report.label_rates = labels.means();
}

void finish_import(DatasetWriter& writer, const LabelMeans& labels, const std::string& source,
                   ImportReport& report) {
  if (labels.candidates() == 0 && !writer.adds())
    throw UserError(str(source, ": found no row to learn from, expected at least one (", report.rows,
                        " rows read, ", report.bad_rows, " of them left out)"));
  describe(writer.finish(), labels, report);
  if (writer.adds()) report.added = writer.added();
  report.coverage = writer.coverage();
}

}  // namespace lime
