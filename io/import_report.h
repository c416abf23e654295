// What an import or a generator did, for the program to print.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lime {

struct ImportReport {
  int64_t rows = 0;      // data rows read, of all files, bad ones included
  int64_t bad_rows = 0;  // rows left out, at most max_bad_rows
  int64_t bytes = 0;     // of the files read
  std::vector<std::string> bad_examples;  // the first few: "logs.csv:17: column 'time_ms': found ..., expected ..."

  // Of the dataset written.
  int64_t events = 0, requests = 0, candidates = 0, users = 0, items = 0, days = 0;  // items: rows of items.h5
  std::vector<double> label_rates;  // mean of each label over candidates, in schema order
};

}  // namespace lime
