// CSV, TSV, JSON lines, Parquet and the like (io/csv_reader.h) -> dataset, by a YAML mapping of columns.
// docs/import_csv.md shows every key.
//
//   name: shop                         # of the dataset
//   time_zone: "+08:00"                # of the days; default +00:00
//   impressions:                       # what was shown, one row a candidate
//     files: ["log_*.csv"]             # patterns or directories, relative to the mapping file
//     separator: ","                   # any text; default: a tab for .tsv, else a comma
//     columns: [user, item, ...]       # names, for files without a header line
//     missing: ['NULL', '\N']          # texts that stand for no value
//     explode: [items, clicks]         # optional: lists of a row, which is a request, side by side
//     user: user_id                    # integer or text (hashed)
//     item: item_id
//     time: {column: ts, unit: s}      # s | ms | us | iso8601; or format: "%d.%m.%Y %H:%M" (strptime)
//     day: date                        # optional column, 2022-05-08 or 20220508; default: of `time`
//     request: session_id              # optional column: a user's rows with the same value form one request
//     labels:
//       click: clicked                          # a number 0..1
//       good: {column: rating, at_least: 4}     # 1 where column >= 4; or equals: a text; or contains: a column
//     weights: {dwell: dwell_ms}         # a number >= 0; empty: 0
//     request_features:   {hour: {column: hour, kind: id}}
//     candidate_features: {price: {column: price, kind: real, log1p: true}}
//     event:                           # rows that become events: all (default), none, or as here
//       when: {column: clicked, at_least: 1}
//       features: {action: {column: type, kind: id}}
//   events:                            # optional, events of their own: files, user, item (or none), time,
//                                      # features
//   users: {files: users.csv, user: user_id, features: {city: {kind: id}}}                  # optional
//   items: {files: items.csv, item: item_id, features: {tags: {kind: ids, separator: "|"}}} # optional
//
// A feature's kind: id (one integer >= 0, or text, hashed; empty or negative: missing), ids (any number,
// split at `separator`), real (a number; empty: missing, NaN). The same text has the same id wherever it stands.
#pragma once

#include <cstdint>
#include <string>

#include "io/dataset_writer.h"
#include "io/import_report.h"

namespace lime {

struct CsvImportOptions {
  std::string mapping;  // YAML file
  std::string out;      // dataset directory
  WriterOptions writer;
  int64_t max_bad_rows = 0;  // rows that may be left out, of all files together
};

// Throws UserError: mapping errors as "mapping.yaml:12: ...", input errors as import_kuairand does. Rows of
// one request are gathered by an external sort, so memory stays within writer.memory_bytes. Those of several
// days are a request of each. A request's time is the earliest of its rows', its features are those of the
// first (by file, then line).
ImportReport import_csv(const CsvImportOptions&);

}  // namespace lime
