#include "io/csv_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "runtime/text.h"

namespace lime {
namespace {

constexpr size_t max_line_bytes = size_t{1} << 26;    // a line may hold a user's whole history
constexpr size_t max_quoted_bytes = size_t{1} << 20;  // over several lines, where a quote is open
constexpr size_t shown_bytes = 60;                    // of a rejected field, or a column's name
constexpr size_t listed_bytes = 2000;                 // of all names of columns
constexpr size_t json_rows = 1000;                    // that are looked at for names of columns
constexpr size_t json_bytes = size_t{1} << 24;        // but none that begins beyond these

// As it is shown in a message.
std::string shown(std::string_view text) {
  return str(text.substr(0, shown_bytes), text.size() > shown_bytes ? "..." : "");
}

std::string listed(const std::vector<std::string>& names) {
  std::vector<std::string> first;
  for (size_t bytes = 0; first.size() < names.size() && bytes < listed_bytes; bytes += first.back().size())
    first.push_back(shown(names[first.size()]));
  const size_t more = names.size() - first.size();
  return str(joined(first), more > 0 ? str(" and ", more, " more") : "");
}

// Not of the CRLF that a quoted name may hold.
bool has_lone_cr(std::string_view text) {
  for (size_t at = 0; (at = text.find('\r', at)) != std::string_view::npos; ++at)
    if (!text.substr(at + 1).starts_with('\n')) return true;
  return false;
}

// Follows quoting through text handed in pieces: tells whether a record may end where the text so far ends,
// and finds a closing quote that ends no field, as stray quotes do.
class QuoteScanner {
 public:
  explicit QuoteScanner(std::string_view separator) : separator_(separator) {}

  // `record` is all of the record so far; bytes before the last call's end are not looked at again.
  bool inside_quotes(std::string_view record) {
    while (at_ < record.size()) {
      if (inside_) {
        const size_t quote = record.find('"', at_);
        if (quote == std::string_view::npos) {
          at_ = record.size();
        } else if (quote + 1 < record.size() && record[quote + 1] == '"') {
          at_ = quote + 2;
        } else {
          at_ = quote + 1;
          inside_ = false;
          const std::string_view rest = record.substr(at_), line = rest.substr(0, rest.find('\n'));
          ends_field_ = line.empty() || line == "\r" || rest.starts_with(separator_);
          if (!ends_field_) return false;
        }
      } else if (field_starts_ && record[at_] == '"') {
        inside_ = true;
        field_starts_ = false;
        ++at_;
      } else {
        const size_t next = record.find(separator_, at_);
        field_starts_ = next != std::string_view::npos;
        at_ = field_starts_ ? next + separator_.size() : record.size();
      }
    }
    return inside_;
  }
  // Where, from the record's beginning, other text than a separator follows a closing quote.
  std::optional<size_t> stray() const { return ends_field_ ? std::nullopt : std::optional(at_); }

 private:
  std::string_view separator_;
  size_t at_ = 0;
  bool inside_ = false, field_starts_ = true, ends_field_ = true;
};

// What files are that are often taken for text, by their first bytes.
const char* not_text(std::string_view begin) {
  if (begin.starts_with("PK\x03\x04")) return "a zip archive or a spreadsheet, expected text";
  if (begin.starts_with("\xFF\xFE") || begin.starts_with("\xFE\xFF"))
    return "UTF-16, expected UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)";
  if (const size_t first = begin.find_first_not_of("[ \r\n\t");
      begin.starts_with("[") && first != std::string_view::npos && begin[first] == '{')
    return "a JSON array, expected an object a line (jq -c '.[]' FILE > NEW)";
  if (begin.starts_with("PAR1")) return "Parquet in a pipe, expected a file";
  constexpr size_t magic_of_tar = 257;
  if (begin.size() > magic_of_tar && begin.substr(magic_of_tar).starts_with("ustar"))
    return "a tar archive, expected text; unpack it first (tar xf)";
  if (begin.substr(0, magic_of_tar).find('\0') != std::string_view::npos)
    return "bytes that are no text, expected text in UTF-8";
  return nullptr;
}

// Those that directories name are usually not in the file.
WantedColumns wanted_of(const std::vector<std::string>& names, const std::vector<PathColumn>& directories) {
  WantedColumns wanted;
  for (const auto& name : names) {
    const bool in_path =
        std::any_of(directories.begin(), directories.end(), [&](const auto& c) { return c.name == name; });
    (in_path ? wanted.optional : wanted.needed).push_back(name);
  }
  return wanted;
}

}  // namespace

CsvReader::CsvReader(const std::string& path, const CsvOptions& options)
    : path_(path),
      options_(options),
      path_columns_(columns_of_path(path)),
      file_(path, wanted_of(options.wanted, path_columns_)),
      columns_(options.columns) {
  LIME_CHECK(!options_.separator.empty());
  if (file_.is_columnar()) {  // which has names and types of its own
    options_ = {};
    options_.block_bytes = options.block_bytes;
    options_.explode = options.explode;
    options_.missing = options.missing;
    columns_.clear();
  }
  buffer_.resize(static_cast<size_t>(std::max<int64_t>(options_.block_bytes, 16)));
  refill();
  if (const char* what = not_text({buffer_.data(), end_})) throw UserError(str(path_, ": found ", what));
  if (end_ >= 3 && std::memcmp(buffer_.data(), "\xEF\xBB\xBF", 3) == 0) begin_ = 3;
  if (begin_ < end_ && buffer_[begin_] == '{') {
    start_json();
  } else if (columns_.empty()) {
    if (!split_record())
      throw UserError(str(path_, ": found an empty file, expected a line with column names"));
    for (const auto field : fields_) columns_.emplace_back(trimmed(field));
    if (std::any_of(fields_.begin(), fields_.end(), has_lone_cr))
      throw UserError(
          str(path_, ":1: found lines that end with CR, expected LF or CRLF (tr '\\r' '\\n' < FILE > NEW)"));
  }
  own_columns_ = columns_.size();
  std::erase_if(path_columns_, [&](const PathColumn& column) { return has_column(column.name); });
  for (const auto& column : path_columns_) columns_.push_back(column.name);
  if (!options_.explode.columns.empty()) start_exploding();
}

void CsvReader::start_json() {
  std::string wrong;
  bool more = true;
  size_t rows = 0;
  for (size_t at = 0, end = 0; more && rows < json_rows && at < json_bytes; ++rows, at = end + 1) {
    more = find_line_end(at, end);
    const std::string said = add_json_columns({buffer_.data() + begin_ + at, end - at}, columns_);
    if (rows == 0) wrong = said;
  }
  if (columns_.empty())
    throw UserError(str(path_, ":1: ", wrong.empty() ? "found an object without members" : wrong));
  json_.emplace(columns_, options_.wanted);
}

void CsvReader::start_exploding() {
  const auto& explode = options_.explode;
  std::vector<size_t> lists;
  for (const auto& name : explode.columns) lists.push_back(column(name));
  exploder_.emplace(explode, lists, columns_.size());
  columns_.insert(columns_.end(), explode.into.begin(), explode.into.end());
  if (!explode.index.empty()) columns_.push_back(explode.index);
}

bool CsvReader::has_column(std::string_view name) const {
  return std::find(columns_.begin(), columns_.end(), name) != columns_.end();
}

size_t CsvReader::column(std::string_view name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end() && json_)
    throw UserError(str(path_, ": no '", name, "' in its first objects (nearest: '",
                        shown(nearest_word(name, columns_)),
                        "'; what few objects have is named in `columns`); found ", listed(columns_)));
  if (found == columns_.end())
    throw UserError(str(path_, ":1: no column '", name, "' (",
                        own_columns_ == 1 && columns_[0].find(name) != std::string::npos
                            ? str("is the separator '", options_.separator, "'?")
                            : str("nearest: '", shown(nearest_word(name, columns_)), "'"),
                        "); found ", listed(columns_)));
  if (std::find(found + 1, columns_.end(), name) != columns_.end())
    throw UserError(str(path_, ":1: found column '", name, "' twice, expected names that differ"));
  return static_cast<size_t>(found - columns_.begin());
}

bool CsvReader::next() {
  if (!exploder_) {
    const bool more = read_record();
    rows_ += more ? 1 : 0;
    return more;
  }
  while (!next_exploded()) {
    if (!read_record()) return false;
    const std::string wrong = exploder_->start(fields_);
    if (wrong.empty()) continue;
    ++rows_;
    throw BadRow(str(path_, ":", line_, ": ", wrong));
  }
  return true;
}

bool CsvReader::next_exploded() {
  std::string wrong;
  if (!exploder_->next(fields_, wrong)) return false;
  ++rows_;
  if (!wrong.empty()) throw BadRow(str(path_, ":", line_, ":", options_.explode.columns[0], ": ", wrong));
  leave_out_missing();
  return true;
}

bool CsvReader::read_record() {
  if (!split_record()) return false;
  if (fields_.size() != own_columns_) {
    ++rows_;
    throw BadRow(str(path_, ":", line_, ": found ", fields_.size(), " fields, expected ", own_columns_, " (",
                     columns_.front(), " ... ", columns_[own_columns_ - 1], ")"));
  }
  for (const auto& column : path_columns_) fields_.emplace_back(column.value);
  leave_out_missing();
  return true;
}

void CsvReader::leave_out_missing() {
  if (options_.missing.empty()) return;
  for (auto& field : fields_)
    if (std::ranges::find(options_.missing, field) != options_.missing.end()) field = {};
}

void CsvReader::reject(size_t column, std::string_view expected) const {
  throw BadRow(str(path_, ":", line_, ":", columns_[column], ": found '", shown(fields_[column]),
                   "', expected ", expected));
}

int64_t CsvReader::integer(size_t column, int64_t min, int64_t max) const {
  const auto value = parse_number<int64_t>(fields_[column]);
  if (!value) reject(column, "an integer");
  if (*value < min || *value > max) reject(column, str("an integer from ", min, " to ", max));
  return *value;
}

double CsvReader::real(size_t column) const {
  const auto text = fields_[column];
  const auto value = parse_number<double>(text);
  if (!value && parse_number<double>(text.substr(0, text.find('|'))))
    reject(column, "a number; the values of a list are taken apart by `explode`");
  if (!value || !std::isfinite(*value)) reject(column, "a number");
  return *value;
}

bool CsvReader::refill() {
  if (end_of_file_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
  const size_t got = file_.read(buffer_.data() + end_, buffer_.size() - end_);
  end_of_file_ = got == 0;
  end_ += got;
  bytes_read_ += static_cast<int64_t>(got);
  return got > 0;
}

// Sets `end` to the offset from begin_ of the first line end at or after offset `from`, or of the end of the
// file.
bool CsvReader::find_line_end(size_t from, size_t& end) {
  for (;;) {
    const size_t unread = end_ - begin_;
    if (from < unread) {
      const void* found = std::memchr(buffer_.data() + begin_ + from, '\n', unread - from);
      if (found) {
        end = static_cast<size_t>(static_cast<const char*>(found) - buffer_.data()) - begin_;
        return true;
      }
    }
    if (unread > max_line_bytes)
      throw UserError(str(path_, ":", line_, ": found a line of more than ", max_line_bytes, " bytes"));
    from = unread;
    if (!refill()) {
      end = end_ - begin_;
      return false;
    }
  }
}

bool CsvReader::split_record() {
  for (;;) {
    line_ = next_line_;
    size_t end = 0;
    bool terminated = find_line_end(0, end);
    if (end == 0 && !terminated) return false;
    const size_t first_end = end + (terminated ? 1 : 0);
    bool quoted = !json_ && options_.quotes && std::memchr(buffer_.data() + begin_, '"', end) != nullptr;
    int64_t lines = 1;
    if (quoted) {
      const auto refuse = [&](const std::string& what) {
        begin_ += first_end;  // one stray quote spoils its line, not the file
        ++next_line_;
        ++rows_;
        throw BadRow(str(path_, ":", line_, ": found ", what));
      };
      QuoteScanner scanner(options_.separator);
      while (scanner.inside_quotes({buffer_.data() + begin_, end + (terminated ? 1 : 0)})) {
        if (!terminated || end > first_end + max_quoted_bytes) refuse("a quote that is not closed");
        terminated = find_line_end(end + 1, end);
        ++lines;
      }
      if (const auto at = scanner.stray()) {
        std::string_view rest(buffer_.data() + begin_ + *at, end - *at);
        if (rest.ends_with('\r')) rest.remove_suffix(1);
        refuse(str("'", rest.substr(0, 10), "' after a closing quote",
                   lines > 1 ? str(" in line ", line_ + lines - 1) : "", ", expected a separator"));
      }
    }
    char* const begin = buffer_.data() + begin_;
    char* stop = begin + end;
    begin_ += end + (terminated ? 1 : 0);
    next_line_ += lines;
    if (stop > begin && stop[-1] == '\r') --stop;
    if (stop == begin) continue;
    fields_.clear();
    if (json_) {
      split_json({begin, static_cast<size_t>(stop - begin)});
    } else if (quoted) {
      split_quoted(begin, stop);
    } else {
      split_plain(begin, stop);
    }
    return true;
  }
}

void CsvReader::split_json(std::string_view record) {
  const std::string wrong = json_->read(record, fields_);
  if (wrong.empty()) return;
  ++rows_;
  throw BadRow(str(path_, ":", line_, ": ", wrong));
}

void CsvReader::split_plain(char* begin, char* end) {
  if (options_.separator.size() == 1) {
    const char separator = options_.separator[0];
    const char* field = begin;
    for (const char* at = begin; at < end; ++at) {
      if (*at == separator) {
        fields_.emplace_back(field, static_cast<size_t>(at - field));
        field = at + 1;
      }
    }
    fields_.emplace_back(field, static_cast<size_t>(end - field));
    return;
  }
  const std::string_view record(begin, static_cast<size_t>(end - begin));
  size_t field = 0;
  for (size_t at; (at = record.find(options_.separator, field)) != std::string_view::npos;
       field = at + options_.separator.size())
    fields_.push_back(record.substr(field, at - field));
  fields_.push_back(record.substr(field));
}

void CsvReader::split_quoted(char* begin, char* end) {
  const std::string_view separator = options_.separator;
  char* at = begin;
  for (;;) {
    if (at < end && *at == '"') {
      char* const field = ++at;
      char* out = field;  // doubled quotes shrink in place
      while (at < end && (*at != '"' || (at + 1 < end && at[1] == '"'))) {
        at += *at == '"' ? 1 : 0;
        *out++ = *at++;
      }
      fields_.emplace_back(field, static_cast<size_t>(out - field));
      ++at;
    } else {
      const std::string_view rest(at, static_cast<size_t>(end - at));
      const std::string_view field = rest.substr(0, rest.find(separator));
      fields_.push_back(field);
      at += field.size();
    }
    if (at >= end) return;
    at += separator.size();  // which is there, or QuoteScanner had found a stray quote
    if (at == end) {
      fields_.emplace_back(at, size_t{0});
      return;
    }
  }
}

}  // namespace lime
