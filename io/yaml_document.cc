#include "io/yaml_document.h"

#include <yaml-cpp/eventhandler.h>

#include <map>
#include <optional>
#include <sstream>

#include "runtime/error.h"

namespace lime {
namespace {

constexpr int most_levels = 64;
constexpr size_t small_document = 10'000;  // values, which aliases may make of any text

class Checker {
 public:
  Checker(const std::string& text, const std::string& origin, bool lines)
      : origin_(origin), lines_(lines), most_values_(small_document + 2 * text.size()) {}

  void check(const YAML::Node& node, const std::string& path = "", int levels = 0) {
    if (levels > most_levels)
      fail(node.Mark(), str("found more than ", most_levels, " levels, or an alias within its own anchor"));
    if (++values_ > most_values_)
      fail(node.Mark(), "found aliases that make millions of values of a short text");
    if (node.IsMap()) check_keys(node, path);
    if (node.IsMap())
      for (const auto& entry : node) check(entry.second, below(path, entry.first.Scalar()), levels + 1);
    if (node.IsSequence())
      for (size_t i = 0; i < node.size(); ++i) check(node[i], below(path, std::to_string(i)), levels + 1);
  }

  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& what) const {
    throw UserError(str(origin_, lines_ && !mark.is_null() ? str(":", mark.line + 1) : "", ": ", what));
  }

 private:
  static std::string below(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "." + name;
  }

  void check_keys(const YAML::Node& map, const std::string& path) {
    std::map<std::string, int> seen;  // and the line
    for (const auto& entry : map) {
      if (!entry.first.IsScalar())
        fail(entry.first.Mark(), "found a list, a map or nothing, expected a word as key");
      const auto [first, added] = seen.emplace(entry.first.Scalar(), entry.first.Mark().line + 1);
      if (!added)
        fail(entry.first.Mark(), str("duplicate key '", below(path, first->first), "'",
                                     lines_ ? str(" (first on line ", first->second, ")") : ""));
    }
  }

  const std::string& origin_;
  bool lines_;
  size_t values_ = 0, most_values_;
};

class StartOfDocument : public YAML::EventHandler {
 public:
  std::optional<YAML::Mark> mark;

  void OnDocumentStart(const YAML::Mark& at) override { mark = at; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}
};

// Where one begins that YAML::Load would pass over. (YAML::LoadAll does not come to an end at ",a".)
std::optional<YAML::Mark> second_document(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  StartOfDocument first, second;
  if (!parser.HandleNextDocument(first) || !parser.HandleNextDocument(second)) return std::nullopt;
  return second.mark;
}

}  // namespace

YAML::Node load_yaml(const std::string& text, const std::string& origin, bool lines) {
  Checker checker(text, origin, lines);
  YAML::Node document;
  try {
    if (const auto second = second_document(text))
      checker.fail(
          *second,
          "found more behind the document's end (a line '---', or a stray sign), expected one document");
    document = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    checker.fail(error.mark, str("not valid YAML: ", error.msg));
  }
  checker.check(document);
  return document;
}

}  // namespace lime
