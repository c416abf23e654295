// Streaming reader of comma-, tab- or otherwise separated text and of JSON lines, plain or compressed, and of
// Parquet, ORC and Arrow files (io/text_file.h), in bounded memory. Columns that the file's directories name
// (io/log_files.h) are columns of it, after its own; one that the file has itself is the file's. Lists may be
// exploded: a record is then a row for each of their values (io/list_exploder.h).
//
// Fields are views into the read buffer, valid until the next call of next(). RFC 4180 quoting: a field that
// begins with a double quote may hold separators, line ends and doubled quotes; a quote that is not closed,
// or closed in front of other text, spoils its line alone. Lines end with \n or \r\n; empty lines and a UTF-8
// byte order mark are skipped. Numbers are parsed strictly: the whole field, no spaces, independent of the
// locale.
//
// A text that begins with { holds JSON lines, an object each (io/json_fields.h). Its columns are those of its
// first 1,000 objects, and CsvOptions::columns; what an object lacks is empty.
//
// What is wrong with a row is a BadRow, "log.csv:17:time_ms: found '16x', expected an integer"; after one,
// next() goes on with the following line. What is wrong with the file (missing, unreadable, a missing column)
// is a UserError.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_fields.h"
#include "io/list_exploder.h"
#include "io/log_files.h"
#include "io/text_file.h"
#include "runtime/error.h"

namespace lime {

class BadRow : public UserError {
 public:
  using UserError::UserError;
};

struct CsvOptions {                  // of text; a file of columns knows them itself
  std::string separator = ",";       // any text: "\t", "::"
  bool quotes = true;                // false: a double quote is an ordinary character
  std::vector<std::string> columns;  // names of the columns; empty: the first line holds them
  std::vector<std::string> missing;  // texts that are none ("NULL"), of a field or a value that is exploded
  std::vector<std::string> wanted;  // columns that will be asked for, all that a file of columns is read for;
                                    // empty: all
  Explode explode;
  int64_t block_bytes = int64_t{1} << 20;
};

class CsvReader {
 public:
  // Throws UserError where the file cannot be read, is empty, or is UTF-16, a zip or a tar archive
  // or other bytes that are no text, by its beginning.
  explicit CsvReader(const std::string& path, const CsvOptions& = {});

  const std::string& path() const { return path_; }
  // Spaces around names removed. Of a file of columns, those wanted, if it has them all.
  const std::vector<std::string>& columns() const { return columns_; }
  bool has_column(std::string_view name) const;
  // Index of a column; throws UserError that names the nearest one found, or where two have the name.
  size_t column(std::string_view name) const;

  // Reads the next row; false at the end. Throws BadRow where the number of fields is not that of columns(),
  // or lists to explode are not equally long.
  bool next();

  std::string_view text(size_t column) const { return fields_[column]; }
  int64_t integer(size_t column, int64_t min = std::numeric_limits<int64_t>::min(),
                  int64_t max = std::numeric_limits<int64_t>::max()) const;
  double real(size_t column) const;  // finite
  // Throws BadRow: the column's text is not what was expected ("an integer").
  [[noreturn]] void reject(size_t column, std::string_view expected) const;

  // Whether fields may be lists that were joined by '|': of JSON, or of a file of columns.
  bool joins_lists() const { return json_ || file_.is_columnar(); }

  int64_t line() const { return line_; }                // of the current record's first line, from 1
  TextPlace place() const { return {path_, line_}; }    // of the current row
  int64_t rows() const { return rows_; }                // read so far, without the header, bad ones included
  int64_t bytes() const { return bytes_read_; }         // of text, read so far
  double fraction() const { return file_.fraction(); }  // of the file, read so far; 0: not known

 private:
  void start_json();
  void start_exploding();
  bool read_record();    // the next one with all its columns; throws BadRow
  bool split_record();   // finds the extent of the next non-empty record and splits it
  bool next_exploded();  // row of the record
  void leave_out_missing();
  bool refill();  // false at the end of the file
  bool find_line_end(size_t from, size_t& end);
  void split_json(std::string_view record);
  void split_plain(char* begin, char* end);
  void split_quoted(char* begin, char* end);

  std::string path_;
  CsvOptions options_;
  std::vector<PathColumn> path_columns_;  // of those that the file lacks
  TextFile file_;
  std::vector<std::string> columns_;
  size_t own_columns_ = 0;  // of columns_, those of the file itself
  std::optional<JsonFields> json_;
  std::optional<ListExploder> exploder_;
  std::vector<std::string_view> fields_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // unread bytes of buffer_
  bool end_of_file_ = false;
  int64_t line_ = 0, next_line_ = 1, rows_ = 0, bytes_read_ = 0;
};

}  // namespace lime
