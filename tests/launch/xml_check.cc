#include "tests/launch/xml_check.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "runtime/error.h"

namespace lime {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  std::vector<XmlElement> read() {
    if (text_.starts_with("<!DOCTYPE html>")) at_ = 15;
    while (at_ < text_.size()) {
      if (text_[at_] != '<')
        read_text();
      else if (peek("</"))
        close();
      else
        open();
    }
    require(open_.empty(), str("<", open_.empty() ? "" : elements_[open_.back()].name, "> is not closed"));
    require(!elements_.empty(), "no element");
    return std::move(elements_);
  }

 private:
  bool peek(const char* what) const { return text_.compare(at_, std::string(what).size(), what) == 0; }
  void require(bool holds, const std::string& what) const {
    if (holds) return;
    const auto line = std::count(
        text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, text_.size())), '\n');
    throw Error(str("line ", line + 1, ": ", what));
  }
  void expect(const char* what) {
    require(peek(what), str("expected ", what));
    at_ += std::string(what).size();
  }
  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  std::string name() {
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  text_[at_] == '-' || text_[at_] == ':'))
      ++at_;
    require(at_ > begin, "expected a name");
    return text_.substr(begin, at_ - begin);
  }

  std::string resolved(const std::string& raw) const {
    std::string text;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '&') {
        text += raw[i];
        continue;
      }
      const std::string entity = raw.substr(i, raw.find(';', i) - i + 1);
      const std::map<std::string, char> known = {
          {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}};
      require(known.contains(entity), "unknown entity " + entity);
      text += known.at(entity);
      i += entity.size() - 1;
    }
    return text;
  }

  void read_text() {
    const size_t end = std::min(text_.find('<', at_), text_.size());
    const std::string text = text_.substr(at_, end - at_);
    if (open_.empty())
      require(text.find_first_not_of(" \n") == std::string::npos, "text outside of the root");
    else
      elements_[open_.back()].text += resolved(text);
    at_ = end;
  }

  void close() {
    expect("</");
    const std::string closed = name();
    require(!open_.empty() && elements_[open_.back()].name == closed, "</" + closed + "> closes nothing");
    open_.pop_back();
    expect(">");
  }

  void open() {
    expect("<");
    require(!open_.empty() || elements_.empty(), "a second root");
    XmlElement element;
    for (const size_t i : open_) element.ancestors.push_back(elements_[i].name);
    element.name = name();
    for (skip_space(); at_ < text_.size() && text_[at_] != '>' && text_[at_] != '/'; skip_space()) {
      const std::string attribute = name();
      expect("=\"");
      const size_t end = text_.find('"', at_);
      require(end != std::string::npos, "a quote is not closed");
      const std::string value = text_.substr(at_, end - at_);
      require(value.find('<') == std::string::npos, "< within an attribute");
      require(element.attributes.emplace(attribute, resolved(value)).second, attribute + " twice");
      at_ = end + 1;
    }
    const bool empty = peek("/");
    if (empty) ++at_;
    expect(">");
    elements_.push_back(element);
    if (empty) return;
    open_.push_back(elements_.size() - 1);
    if (element.name != "style") return;
    const size_t end = text_.find("</style>", at_);
    require(end != std::string::npos, "<style> is not closed");
    elements_.back().text = text_.substr(at_, end - at_);
    at_ = end;
  }

  const std::string& text_;
  size_t at_ = 0;
  std::vector<XmlElement> elements_;
  std::vector<size_t> open_;
};

}  // namespace

bool XmlElement::has_class(const std::string& wanted) const {
  const auto found = attributes.find("class");
  if (found == attributes.end()) return false;
  std::istringstream words(found->second);
  for (std::string word; words >> word;)
    if (word == wanted) return true;
  return false;
}

double XmlElement::number(const std::string& attribute) const { return std::stod(attributes.at(attribute)); }

std::vector<XmlElement> parse_xml(const std::string& text) { return Reader(text).read(); }

std::vector<XmlElement> with_class(const std::vector<XmlElement>& elements, const std::string& name) {
  std::vector<XmlElement> chosen;
  for (const auto& element : elements)
    if (element.has_class(name)) chosen.push_back(element);
  return chosen;
}

}  // namespace lime
