// The text of a file from its beginning to its end, plain, compressed or made of a file of columns.
//
// gzip, bzip2, xz, zstd and lz4 data is told by its first bytes, whatever the file is called, and is read
// through the program of that name, as tar does: it runs beside this one, on a core of its own, checks the
// checksums of its format, and takes several streams that were written after one another. So are Parquet, ORC
// and Arrow files, by python3 and pyarrow (io/columns_to_csv.py), as CSV with a header line.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lime {

struct TextProgram;

// Columns that a file of columns is read for, which costs what these cost. Where one of those `needed` is
// missing, or none is named, all are read.
struct WantedColumns {
  std::vector<std::string> needed, optional;
};

class TextFile {
 public:
  // Throws UserError where the file cannot be opened, or the program that reads it cannot be started.
  explicit TextFile(const std::string& path, const WantedColumns& = {});
  ~TextFile();  // the program ends with it
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  // The next bytes of text, at most `size` (at least 1) of them; 0: there are none left. Throws UserError
  // where they cannot be read, or are damaged or cut off: what a compressed file gave before may then be
  // wrong, too.
  size_t read(char* to, size_t size);

  // The text is CSV with a header line and quotes, whatever files of this kind usually are.
  bool is_columnar() const;

  // How much of the file was read, in 0..1, counted as it is stored. 0: not known (a pipe).
  double fraction() const;

 private:
  void start_program(const WantedColumns&);
  void end_program();  // throws UserError with what it said, if it failed

  std::string path_;
  int file_ = -1, text_ = -1, complaints_ = -1;  // text_: what is read, file_ itself or the program's output
  const TextProgram* program_ = nullptr;         // that reads the file; null: plain text
  pid_t pid_ = -1;                               // of the program, while it runs
};

// A row's place, for messages: "log.csv:17". An empty path: the row comes from no file.
struct TextPlace {
  std::string_view path = {};
  int64_t line = 0;
};

// The path without the ending that a compressing program gives it: "log.tsv.gz" is "log.tsv".
std::string without_compression(const std::string& path);

}  // namespace lime
