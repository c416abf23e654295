#include "io/json_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/error.h"

namespace lime {
namespace {

using Json = nlohmann::json;

// Follows an object through the parser's events. Row is told what it holds:
//   value(path, text)                      a value outside of lists
//   list_value(path, element, text)        one that belongs to an element of a list
//   list_begins(path), list_ends(path, n)  of n elements
template <typename Row>
class JsonWalk {
 public:
  explicit JsonWalk(Row& row) : row_(row) {}

  const std::string& wrong() const { return wrong_; }

  bool null() { return value(""); }
  bool boolean(bool is) { return value(is ? "1" : "0"); }
  bool number_integer(Json::number_integer_t number) { return value(std::to_string(number)); }
  bool number_unsigned(Json::number_unsigned_t number) { return value(std::to_string(number)); }
  bool number_float(Json::number_float_t /*number*/, const std::string& text) { return value(text); }
  bool string(std::string& text) { return value(text); }
  bool binary(Json::binary_t& /*bytes*/) { return false; }  // which JSON's text has not

  bool start_object(size_t /*members*/) {
    next_element();
    levels_.push_back({Kind::object, path_.size()});
    return true;
  }
  bool key(std::string& name) {
    path_.resize(levels_.back().path);
    path_ += (path_.empty() ? "" : ".") + name;
    return true;
  }
  bool end_object() { return leave(); }

  bool start_array(size_t /*elements*/) {
    if (levels_.empty()) return no_object();
    next_element();
    if (++lists_ == 1) row_.list_begins(path_);
    levels_.push_back({Kind::list, path_.size()});
    return true;
  }
  bool end_array() {
    path_.resize(levels_.back().path);
    if (--lists_ == 0) row_.list_ends(path_, element_);
    return leave();
  }

  bool parse_error(size_t /*position*/, const std::string& /*token*/, const Json::exception& error) {
    wrong_ = error.what();
    // "[json.exception...] parse error at line 1, column 5: syntax error ..." of a text that is one line
    if (const size_t at = std::min(wrong_.find("column "), wrong_.find("number ")); at != std::string::npos)
      wrong_.erase(0, at);
    wrong_ = str("found no JSON object (", wrong_, "), expected one a line (jq -c . FILE)");
    return false;
  }

 private:
  enum class Kind : uint8_t { object, list };
  struct Level {
    Kind kind;
    size_t path;  // length of its own path
  };

  bool value(std::string_view text) {
    if (levels_.empty()) return no_object();
    next_element();
    if (lists_ == 0) {
      row_.value(path_, text);
    } else if (lists_ == 1) {
      row_.list_value(path_, element_ - 1, text);
    }
    return true;
  }
  bool no_object() {
    wrong_ = "found a JSON value that is no object, expected one a line (jq -c . FILE)";
    return false;
  }
  // What comes may be the next element of the outermost list.
  void next_element() {
    if (levels_.empty() || levels_.back().kind != Kind::list) return;
    path_.resize(levels_.back().path);
    if (lists_ == 1) ++element_;
  }
  bool leave() {
    path_.resize(levels_.back().path);
    levels_.pop_back();
    if (lists_ == 0) element_ = 0;
    return true;
  }

  Row& row_;
  std::vector<Level> levels_;
  std::string path_, wrong_;
  size_t lists_ = 0, element_ = 0;  // lists around; elements of the outermost one so far
};

// The text with null for NaN, Infinity and -Infinity, which Python writes and JSON has not; "" if there is
// none.
std::string without_nan(std::string_view text) {
  std::string out;
  bool in_string = false, found = false;
  for (size_t at = 0; at < text.size();) {
    size_t length = 1;
    if (in_string && text[at] == '\\') {
      length = 2;
    } else if (text[at] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      for (const std::string_view word : {"NaN", "-Infinity", "Infinity"})
        if (text.substr(at).starts_with(word)) length = word.size();
    }
    const bool replaced = length > 2;
    out += replaced ? "null" : text.substr(at, length);
    found |= replaced;
    at += length;
  }
  return found ? out : "";
}

template <typename NewRow>
std::string walk(std::string_view text, NewRow&& new_row) {
  const auto said = [&](std::string_view json) {
    auto row = new_row();
    JsonWalk walk(row);
    Json::sax_parse(json.begin(), json.end(), &walk);
    return walk.wrong();
  };
  const std::string wrong = said(text);
  const std::string mended = wrong.empty() ? "" : without_nan(text);
  return mended.empty() ? wrong : said(mended);
}

// The columns that an object has.
class JsonColumns {
 public:
  explicit JsonColumns(std::vector<std::string>& columns) : columns_(columns) {}
  void value(const std::string& path, std::string_view /*text*/) {
    if (std::find(columns_.begin(), columns_.end(), path) == columns_.end()) columns_.push_back(path);
  }
  void list_value(const std::string& path, size_t /*element*/, std::string_view text) { value(path, text); }
  void list_begins(const std::string& /*path*/) {}
  void list_ends(const std::string& path, size_t elements) {
    if (elements == 0) value(path, "");
  }

 private:
  std::vector<std::string>& columns_;
};

}  // namespace

class JsonFields::Row {
 public:
  explicit Row(JsonFields& fields) : to_(fields) {
    for (auto& field : to_.fields_) clear(field);
  }
  void value(const std::string& path, std::string_view text) {
    if (auto* field = find(path)) field->text = text;
  }
  void list_value(const std::string& path, size_t element, std::string_view text) {
    auto* field = find(path);
    if (!field || field->values > element) return;
    pad(*field, element);
    field->text += field->values++ == 0 ? "" : "|";
    field->text += text;
  }
  void list_begins(const std::string& path) { for_each_below(path, clear); }
  void list_ends(const std::string& path, size_t elements) {
    for_each_below(path, [&](Field& field) { pad(field, elements); });
  }

 private:
  static void clear(Field& field) {
    field.text.clear();
    field.values = 0;
  }
  static void pad(Field& field, size_t elements) {
    for (; field.values < elements; ++field.values) field.text += field.values == 0 ? "" : "|";
  }
  Field* find(const std::string& path) {
    const auto found = to_.places_.find(path);
    return found == to_.places_.end() ? nullptr : &to_.fields_[found->second];
  }
  // The columns of the list of this path: its own, and those of its objects' members.
  template <typename Use>
  void for_each_below(const std::string& path, Use&& use) {
    for (auto at = to_.places_.lower_bound(path); at != to_.places_.end() && at->first.starts_with(path);
         ++at)
      if (at->first.size() == path.size() || at->first[path.size()] == '.') use(to_.fields_[at->second]);
  }

  JsonFields& to_;
};

std::string add_json_columns(std::string_view text, std::vector<std::string>& columns) {
  return walk(text, [&] { return JsonColumns(columns); });
}

JsonFields::JsonFields(const std::vector<std::string>& columns, const std::vector<std::string>& wanted)
    : fields_(columns.size()) {
  for (size_t c = 0; c < columns.size(); ++c)
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), columns[c]) != wanted.end())
      places_.emplace(columns[c], c);
}

std::string JsonFields::read(std::string_view text, std::vector<std::string_view>& fields) {
  std::string wrong = walk(text, [&] { return Row(*this); });
  fields.clear();
  for (const auto& field : fields_) fields.emplace_back(field.text);
  return wrong;
}

}  // namespace lime
