// What an import or a generator did, for the program to print.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/dataset_writer.h"

namespace lime {

struct ImportReport {
  int64_t rows = 0;      // data rows read, of all files, bad ones included
  int64_t bad_rows = 0;  // rows left out, at most max_bad_rows
  int64_t bytes = 0;     // of the files read
  // The first few bad ones: "logs.csv:17:time_ms: found '16x', expected an integer".
  std::vector<std::string> bad_examples;
  // What was left out though nothing is wrong with it, by a rule of the importer, a line each.
  std::vector<std::string> left_out;

  // What a new dataset would be like that is seldom meant, a line each.
  std::vector<std::string> notes;

  // Of rows added to a dataset; none where one was made. What follows is of the whole dataset then, but for
  // the label rates.
  std::optional<AddedRows> added;

  // Of a new dataset.
  FeatureCoverage coverage;

  // Of the dataset written.
  int64_t events = 0, requests = 0, candidates = 0, users = 0, days = 0;
  int64_t items = 0;                // rows of items.h5
  std::vector<double> label_rates;  // mean of each label over candidates, in schema order
};

}  // namespace lime
