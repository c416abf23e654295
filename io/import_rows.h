// What importers share: rows with a tolerance for bad ones, and the report of what was written.
#pragma once

#include <string>
#include <vector>

#include "io/csv_reader.h"
#include "io/dataset_writer.h"
#include "io/import_report.h"

namespace lime {

// Counts bad rows over all files of an import, and ends it where there are more than allowed.
class BadRows {
 public:
  BadRows(int64_t allowed, ImportReport& report) : allowed_(allowed), report_(report) {}
  void add(const BadRow&);

 private:
  int64_t allowed_;
  ImportReport& report_;
};

// Calls `row()` for each row of the reader. A BadRow leaves the row out: `row` must check before it adds
// anything.
template <typename Row>
void for_each_row(CsvReader& reader, BadRows& bad, ImportReport& report, Row&& row) {
  for (bool more = true; more;) {
    try {
      while ((more = reader.next())) row();
    } catch (const BadRow& error) {
      bad.add(error);
    }
  }
  report.rows += reader.rows();
  report.bytes += reader.bytes();
}

// Means of labels over candidates, gathered while they are added.
class LabelMeans {
 public:
  explicit LabelMeans(size_t labels) : sums_(labels, 0.0) {}
  void add(const RequestRow&);
  std::vector<double> means() const;
  int64_t candidates() const { return candidates_; }

 private:
  std::vector<double> sums_;
  int64_t candidates_ = 0;
};

// Fills the part of the report that says what the dataset holds.
void describe(const Dataset&, const LabelMeans&, ImportReport&);

// Puts the dataset, or what is added to it, in its place, and says in the report what it holds. Throws
// UserError naming `source`, with no dataset made, where a new one has no candidate.
void finish_import(DatasetWriter&, const LabelMeans&, const std::string& source, ImportReport&);

}  // namespace lime
