#include "io/import_csv_mapping.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <utility>

#include "io/import_values.h"
#include "io/yaml_document.h"
#include "runtime/error.h"
#include "runtime/file_text.h"
#include "runtime/text.h"

namespace lime {
namespace {

// A node of the mapping with where it stands, for messages.
class Node {
 public:
  Node(const std::string& path, YAML::Node node, std::string key)
      : path_(path), node_(std::move(node)), key_(std::move(key)) {}

  [[noreturn]] void fail(const std::string& what) const {
    const auto mark = node_.Mark();
    throw UserError(str(path_, mark.is_null() ? "" : str(":", mark.line + 1), ": ", key_,
                        key_.empty() ? "" : ": ", what));
  }

  // This is a map of these keys and no others.
  void need_map(std::initializer_list<const char*> keys) const {
    if (!node_.IsMap()) fail(str("found ", found(), ", expected keys such as ", *keys.begin()));
    const std::vector<std::string> known(keys.begin(), keys.end());
    for (const auto& entry : node_) {
      const auto key = entry.first.as<std::string>();
      if (std::find(known.begin(), known.end(), key) == known.end())
        Node(path_, entry.first, key_)
            .fail(str("unknown key '", key, "' (nearest: '", nearest_word(key, known), "')"));
    }
  }

  // Also where it is null.
  std::optional<Node> find_any(const char* key) const {
    const YAML::Node child = node_[key];
    if (!child) return std::nullopt;
    return Node(path_, child, key_.empty() ? key : str(key_, ".", key));
  }
  std::optional<Node> find(const char* key) const {
    auto child = find_any(key);
    return child && !child->node_.IsNull() ? std::move(child) : std::nullopt;
  }
  Node at(const char* key) const {
    auto child = find(key);
    if (!child) fail(str("no key '", key, "'"));
    return *child;
  }
  std::vector<std::pair<std::string, Node>> entries() const {
    if (!node_.IsMap()) fail(str("found ", found(), ", expected names with their columns"));
    std::vector<std::pair<std::string, Node>> out;
    for (const auto& entry : node_) {
      const auto name = entry.first.as<std::string>();
      out.emplace_back(name, Node(path_, entry.second, str(key_, ".", name)));
    }
    return out;
  }

  // Of a list; of what is none there are none.
  std::vector<Node> items() const {
    std::vector<Node> out;
    if (node_.IsSequence())
      for (const auto& entry : node_) out.emplace_back(path_, entry, key_);
    return out;
  }

  bool is_null() const { return node_.IsNull(); }
  bool is_text() const { return node_.IsScalar(); }
  bool is_map() const { return node_.IsMap(); }
  std::string text() const {
    if (!node_.IsScalar()) fail(str("found ", found(), ", expected one value"));
    return node_.Scalar();
  }
  std::string text_or(const char* key, std::string otherwise) const {
    const auto child = find(key);
    return child ? child->text() : std::move(otherwise);
  }
  std::vector<std::string> texts() const {
    if (node_.IsScalar()) return {node_.Scalar()};
    if (!node_.IsSequence() || node_.size() == 0) fail(str("found ", found(), ", expected a list"));
    std::vector<std::string> out;
    for (const auto& item : items()) out.push_back(item.text());
    return out;
  }
  template <typename T>
  T as(const char* expected) const {
    try {
      return node_.as<T>();
    } catch (const YAML::Exception&) {
      fail(str("found '", text(), "', expected ", expected));
    }
  }

 private:
  std::string found() const {
    if (node_.IsScalar()) return str("'", node_.Scalar(), "'");
    if (!node_.IsMap() && !node_.IsSequence()) return "nothing";
    return str(node_.size() == 0 ? "an empty " : "a ", node_.IsMap() ? "map" : "list");
  }

  const std::string& path_;
  YAML::Node node_;
  std::string key_;
};

// Without quotes NULL is YAML's null, and no text.
std::vector<std::string> read_missing(const Node& node) {
  if (node.is_null() || std::ranges::any_of(node.items(), &Node::is_null))
    node.fail("found null, expected texts; in quotes NULL is one: 'NULL'");
  return node.texts();
}

CsvSource read_source(const Node& node, const std::string& mapping_path) {
  CsvSource source;
  const auto folder = std::filesystem::path(mapping_path).parent_path();
  for (const auto& pattern : node.at("files").texts()) source.patterns.push_back((folder / pattern).string());
  source.separator = node.text_or("separator", "");
  if (const auto quotes = node.find("quotes")) source.quotes = quotes->as<bool>("true or false");
  if (const auto columns = node.find("columns")) source.columns = columns->texts();
  if (const auto missing = node.find_any("missing")) source.missing = read_missing(*missing);
  return source;
}

// Of strptime's conversions some say nothing, or what the machine's zone makes of it.
std::string read_format(const Node& node) {
  std::string format = node.text();
  if (has_conversion(format, 'Z'))
    node.fail("found %Z, expected %z (+0100): the name of a zone, CET, does not say which it is");
  if (has_conversion(format, 's')) node.fail("found %s, expected `unit: s` in place of a format");
  return format;
}

CsvTime read_time(const Node& node) {
  if (node.is_text())
    node.fail(str("found '", node.text(), "', expected {column: ", node.text(),
                  ", unit: s}, or ms, us or iso8601, or a format in its place"));
  node.need_map({"column", "unit", "format"});
  CsvTime time;
  time.column = node.at("column").text();
  if (const auto format = node.find("format")) {
    if (node.find("unit")) node.fail("found both unit and format, expected one of them");
    time.unit = TimeUnit::format;
    time.format = read_format(*format);
    return time;
  }
  if (!node.find("unit")) node.fail("no key 'unit', expected s, ms, us or iso8601, or the key 'format'");
  const Node unit = node.at("unit");
  const std::string name = unit.text();
  if (name == "s") {
    time.unit = TimeUnit::s;
  } else if (name == "ms") {
    time.unit = TimeUnit::ms;
  } else if (name == "us") {
    time.unit = TimeUnit::us;
  } else if (name == "iso8601") {
    time.unit = TimeUnit::iso8601;
  } else {
    unit.fail(str("found '", name, "', expected s, ms, us or iso8601"));
  }
  return time;
}

std::string read_separator(const Node& node, const char* otherwise) {
  std::string separator = node.text_or("separator", otherwise);
  if (separator.empty()) node.fail("expected a separator of at least one character");
  return separator;
}

Explode read_explode(const Node& parent) {
  Explode explode;
  const auto node = parent.find("explode");
  if (!node) return explode;
  if (!node->is_map()) {
    explode.columns = node->texts();
    return explode;
  }
  node->need_map({"columns", "separator", "cut", "into", "index"});
  explode.columns = node->at("columns").texts();
  explode.separator = read_separator(*node, "|");
  explode.cut = node->text_or("cut", "");
  if (const auto into = node->find("into")) explode.into = into->texts();
  explode.index = node->text_or("index", "");
  if (explode.cut.empty() != explode.into.empty() || explode.into.size() == 1)
    node->fail("expected `cut` with `into`, the names of two columns or more");
  if (!explode.into.empty() && explode.columns.size() > 1)
    node->fail(str("found ", explode.columns.size(), " columns, expected one whose values are cut"));
  return explode;
}

CsvNumber read_number(const Node& node, std::string name) {
  CsvNumber number;
  number.name = std::move(name);
  if (node.is_text()) {
    number.column = node.text();
    return number;
  }
  node.need_map({"column", "at_least", "equals", "contains", "separator"});
  number.column = node.at("column").text();
  if (const auto bound = node.find("at_least")) number.at_least = bound->as<double>("a number");
  if (const auto equals = node.find("equals")) number.equals = equals->text();
  if (const auto contains = node.find("contains")) number.contains = contains->text();
  if (number.at_least.has_value() + number.equals.has_value() + number.contains.has_value() > 1)
    node.fail("found several of at_least, equals and contains, expected one of them");
  number.separator = read_separator(node, "|");
  if (node.find("separator") && !number.contains) node.fail("only contains has a separator");
  return number;
}

std::vector<CsvNumber> read_numbers(const Node& parent, const char* key) {
  std::vector<CsvNumber> numbers;
  if (const auto node = parent.find(key))
    for (const auto& [name, entry] : node->entries()) numbers.push_back(read_number(entry, name));
  return numbers;
}

CsvFeatures read_features(const Node& parent, const char* key) {
  CsvFeatures features;
  const auto node = parent.find(key);
  if (!node) return features;
  for (const auto& [name, entry] : node->entries()) {
    if (entry.is_text())
      entry.fail(str("found '", entry.text(), "', expected what it holds: {kind: id}, ids or real"));
    entry.need_map({"column", "kind", "separator", "log1p"});
    if (!entry.find("kind")) entry.fail("no key 'kind', expected id, ids or real");
    CsvFeature feature;
    feature.name = name;
    feature.column = entry.text_or("column", name);
    const std::string kind = entry.at("kind").text();
    if (kind == "ids") {
      feature.kind = ColumnKind::ids;
    } else if (kind == "real") {
      feature.kind = ColumnKind::real;
    } else if (kind != "id") {
      entry.at("kind").fail(str("found '", kind, "', expected id, ids or real"));
    }
    feature.separator = read_separator(entry, "|");
    if (entry.find("separator") && feature.kind != ColumnKind::ids) entry.fail("only ids have a separator");
    if (const auto log1p = entry.find("log1p")) feature.log1p = log1p->as<bool>("true or false");
    if (feature.log1p && feature.kind != ColumnKind::real) entry.fail("only real features have log1p");
    features.push_back(std::move(feature));
  }
  return features;
}

CsvImpressions read_impressions(const Node& node, const std::string& path, bool own_events) {
  node.need_map({"files", "separator", "quotes", "columns", "missing", "explode", "user", "item", "time",
                 "day", "request", "labels", "weights", "request_features", "candidate_features", "event"});
  CsvImpressions out;
  out.source = read_source(node, path);
  out.explode = read_explode(node);
  out.user = node.at("user").text();
  out.item = node.at("item").text();
  out.time = read_time(node.at("time"));
  out.day = node.text_or("day", "");
  out.request = node.text_or("request", "");
  out.labels = read_numbers(node, "labels");
  if (out.labels.empty()) node.fail("no key 'labels', expected at least one label");
  out.weights = read_numbers(node, "weights");
  out.request_features = read_features(node, "request_features");
  out.candidate_features = read_features(node, "candidate_features");
  out.makes_events = !own_events;
  const auto event = node.find("event");
  if (!event) return out;
  out.names_events = true;
  if (event->is_text()) {
    const std::string which = event->text();
    if (which != "all" && which != "none")
      event->fail(str("found '", which, "', expected all, none, or keys when, features"));
    out.makes_events = which == "all";
    return out;
  }
  event->need_map({"when", "features"});
  out.makes_events = true;
  if (const auto when = event->find("when")) {
    out.event_when = read_number(*when, "when");
    if (!out.event_when->is_condition()) when->fail("expected at_least, equals or contains");
  }
  out.event_features = read_features(*event, "features");
  return out;
}

CsvRows read_rows(const Node& node, const std::string& path, const char* key) {
  node.need_map({"files", "separator", "quotes", "columns", "missing", key, "features"});
  CsvRows out;
  out.source = read_source(node, path);
  out.key = node.at(key).text();
  out.features = read_features(node, "features");
  if (out.features.empty()) node.fail("no key 'features', expected at least one feature");
  return out;
}

bool same_columns(const CsvFeatures& a, const CsvFeatures& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const CsvFeature& x, const CsvFeature& y) {
    return x.name == y.name && x.kind == y.kind;
  });
}

}  // namespace

CsvMapping read_mapping(const std::string& path) {
  if (std::error_code status; std::filesystem::is_directory(path, status))
    throw UserError(str(path, ": is a directory, expected a mapping (YAML)"));
  const Node node(path, load_yaml(file_text(path), path), "");
  node.need_map({"name", "time_zone", "impressions", "events", "users", "items"});
  CsvMapping mapping;
  mapping.name = node.text_or("name", std::filesystem::path(path).stem().string());
  mapping.time_zone = node.text_or("time_zone", mapping.time_zone);
  if (!is_time_zone(mapping.time_zone))
    node.at("time_zone").fail(str("found '", mapping.time_zone, "', expected hours from UTC such as +08:00"));
  const auto events = node.find("events");
  mapping.impressions = read_impressions(node.at("impressions"), path, events.has_value());
  if (events) {
    events->need_map({"files", "separator", "quotes", "columns", "missing", "explode", "user", "item", "time",
                      "features"});
    CsvEvents out;
    out.source = read_source(*events, path);
    out.explode = read_explode(*events);
    out.user = events->at("user").text();
    out.item = events->text_or("item", "");
    out.time = read_time(events->at("time"));
    out.features = read_features(*events, "features");
    if (out.item.empty() && out.features.empty())
      events->fail("no key 'item', expected it, or features of events without one");
    if (mapping.impressions.makes_events && !same_columns(out.features, mapping.impressions.event_features))
      events->fail(
          "features differ from those of impressions.event, expected the same names, kinds and order");
    mapping.events = std::move(out);
  }
  if (const auto users = node.find("users")) mapping.users = read_rows(*users, path, "user");
  if (const auto items = node.find("items")) mapping.items = read_rows(*items, path, "item");
  try {
    check_schema(schema_of(mapping, ""));
  } catch (const UserError& error) {
    throw UserError(str(path, ": ", error.what()));
  }
  return mapping;
}

DatasetSchema schema_of(const CsvMapping& mapping, const std::string& source) {
  DatasetSchema schema;
  schema.name = mapping.name;
  schema.source = source;
  schema.time_zone = mapping.time_zone;
  auto add = [&](const CsvFeatures& features, ColumnGroup group) {
    for (const auto& feature : features) schema.columns.push_back({feature.name, group, feature.kind});
  };
  const auto& impressions = mapping.impressions;
  add(impressions.makes_events ? impressions.event_features
      : mapping.events         ? mapping.events->features
                               : CsvFeatures{},
      ColumnGroup::event);
  add(impressions.request_features, ColumnGroup::request);
  add(impressions.candidate_features, ColumnGroup::candidate);
  if (mapping.users) add(mapping.users->features, ColumnGroup::user);
  if (mapping.items) add(mapping.items->features, ColumnGroup::item);
  schema.event_items = impressions.makes_events || !mapping.events || !mapping.events->item.empty();
  for (const auto& label : impressions.labels) schema.labels.push_back(label.name);
  for (const auto& weight : impressions.weights) schema.weights.push_back(weight.name);
  return schema;
}

}  // namespace lime
