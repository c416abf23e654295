// dataset.yaml: reading and writing a dataset's description.
#include <numeric>

#include "io/dataset.h"
#include "io/yaml_document.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr int64_t format_version = 2;
constexpr int64_t most = int64_t{1} << 48;  // rows or bytes of one entry: sums of them stay numbers

// A value of the file, with its place in it for messages.
class Value {
 public:
  Value(const std::string& path, const YAML::Node& node, std::string key)
      : path_(path), node_(node), key_(std::move(key)) {}

  Value operator[](const std::string& key) const {
    if (!node_.IsMap()) fail("expected a map");
    if (!node_[key]) fail(str("key '", key, "' is missing"));
    return {path_, node_[key], key_.empty() ? key : key_ + "." + key};
  }
  bool has(const std::string& key) const { return node_.IsMap() && node_[key]; }
  std::vector<std::string> keys() const {
    if (!node_.IsMap()) fail("expected a map");
    std::vector<std::string> names;
    for (const auto& entry : node_) names.push_back(entry.first.Scalar());
    return names;
  }

  std::vector<Value> list() const {
    if (!node_.IsSequence() && !node_.IsNull()) fail("expected a list");
    std::vector<Value> values;
    for (size_t i = 0; i < node_.size(); ++i) values.emplace_back(path_, node_[i], str(key_, "[", i, "]"));
    return values;
  }

  std::string text() const { return as<std::string>("a text"); }
  double number() const { return as<double>("a number"); }
  int64_t integer() const { return as<int64_t>("an integer"); }
  bool flag() const { return as<bool>("true or false"); }
  int64_t count() const {
    const auto value = integer();
    if (value < 0 || value > most) fail(str("found ", value, ", expected 0 to ", most));
    return value;
  }
  std::vector<int64_t> counts(int64_t size) const {
    std::vector<int64_t> values;
    for (const auto& value : list()) values.push_back(value.count());
    if (static_cast<int64_t>(values.size()) != size)
      fail(str("found ", values.size(), " values, expected ", size));
    return values;
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> values;
    for (const auto& value : list()) values.push_back(value.text());
    return values;
  }
  template <typename Enum>
  Enum one_of(std::initializer_list<Enum> all) const {
    std::string names;
    for (const Enum value : all) {
      if (text() == to_string(value)) return value;
      names += str(names.empty() ? "" : ", ", to_string(value));
    }
    fail(str("found '", text(), "', expected one of ", names));
  }

  [[noreturn]] void fail(const std::string& what) const {
    const auto mark = node_.Mark();
    throw UserError(str(path_, mark.is_null() ? "" : str(":", mark.line + 1), ": ",
                        key_.empty() ? "" : key_ + ": ", what));
  }

 private:
  template <typename T>
  T as(const char* expected) const {
    try {
      return node_.as<T>();
    } catch (const YAML::Exception&) {
      fail(str("found ", node_.IsScalar() ? "'" + node_.Scalar() + "'" : "no single value", ", expected ",
               expected));
    }
  }
  const std::string& path_;
  YAML::Node node_;
  std::string key_;
};

void emit_counts(YAML::Emitter& out, const char* key, const std::vector<int64_t>& values) {
  out << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
  for (const int64_t value : values) out << value;
  out << YAML::EndSeq;
}

void emit_texts(YAML::Emitter& out, const char* key, const std::vector<std::string>& values) {
  out << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
  for (const auto& value : values) out << YAML::DoubleQuoted << value;
  out << YAML::EndSeq;
}

void emit_text(YAML::Emitter& out, const char* key, const std::string& value) {
  out << YAML::Key << key << YAML::Value << YAML::DoubleQuoted << value;
}

void emit_count(YAML::Emitter& out, const char* key, int64_t value) {
  out << YAML::Key << key << YAML::Value << value;
}

void emit_import(YAML::Emitter& out, const ImportInfo& import, int64_t number,
                 const std::vector<DayInfo>& days) {
  out << YAML::BeginMap;
  emit_text(out, "source", import.source);
  emit_count(out, "items", import.items);
  emit_count(out, "items_bytes", import.items_bytes);
  if (import.events_until_ms) emit_count(out, "events_until_ms", *import.events_until_ms);
  out << YAML::Key << "parts" << YAML::Value << YAML::BeginSeq;
  for (const auto& part : import.parts) {
    out << YAML::Flow << YAML::BeginMap;
    emit_count(out, "users", part.users);
    emit_count(out, "described", part.described);
    emit_count(out, "histories", part.histories);
    emit_count(out, "events", part.events);
    emit_count(out, "bytes", part.bytes);
    out << YAML::EndMap;
  }
  out << YAML::EndSeq << YAML::Key << "days" << YAML::Value << YAML::BeginSeq;
  for (const auto& info : days) {
    if (info.import != number) continue;
    out << YAML::BeginMap;
    emit_text(out, "day", info.day);
    emit_counts(out, "requests", info.part_requests);
    emit_counts(out, "candidates", info.part_candidates);
    emit_counts(out, "bytes", info.part_bytes);
    out << YAML::EndMap;
  }
  out << YAML::EndSeq << YAML::EndMap;
}

DayInfo read_day_info(const Value& entry, int64_t parts) {
  DayInfo info;
  info.day = entry["day"].text();
  try {
    parse_day(info.day);
  } catch (const UserError& error) {
    entry["day"].fail(error.what());
  }
  info.part_requests = entry["requests"].counts(parts);
  info.part_candidates = entry["candidates"].counts(parts);
  info.part_bytes = entry["bytes"].counts(parts);
  info.requests = std::accumulate(info.part_requests.begin(), info.part_requests.end(), int64_t{0});
  info.candidates = std::accumulate(info.part_candidates.begin(), info.part_candidates.end(), int64_t{0});
  return info;
}

ImportInfo read_import(const Value& entry) {
  ImportInfo import;
  import.source = entry["source"].text();
  import.items = entry["items"].count();
  import.items_bytes = entry["items_bytes"].count();
  if (entry.has("events_until_ms")) import.events_until_ms = entry["events_until_ms"].integer();
  for (const auto& part : entry["parts"].list())
    import.parts.push_back({part["users"].count(), part["described"].count(), part["histories"].count(),
                            part["events"].count(), part["bytes"].count()});
  if (import.parts.empty()) entry["parts"].fail("found none, expected at least one");
  return import;
}

}  // namespace

std::string Dataset::text() const {
  YAML::Emitter out;
  out.SetDoublePrecision(17);
  out << YAML::BeginMap << YAML::Key << "format" << YAML::Value << "lime-dataset";
  out << YAML::Key << "version" << YAML::Value << format_version;
  emit_text(out, "name", schema_.name);
  emit_text(out, "source", schema_.source);
  emit_text(out, "time_zone", schema_.time_zone);
  out << YAML::Key << "columns" << YAML::Value << YAML::BeginSeq;
  for (const auto& column : schema_.columns) {
    out << YAML::Flow << YAML::BeginMap;
    emit_text(out, "name", column.name);
    out << YAML::Key << "group" << YAML::Value << to_string(column.group);
    out << YAML::Key << "kind" << YAML::Value << to_string(column.kind) << YAML::EndMap;
  }
  out << YAML::EndSeq;
  if (!schema_.event_items) out << YAML::Key << "event_items" << YAML::Value << false;
  emit_texts(out, "labels", schema_.labels);
  emit_texts(out, "weights", schema_.weights);
  out << YAML::Key << "facts" << YAML::Value << YAML::BeginMap;
  for (const auto& [name, value] : schema_.facts) out << YAML::Key << name << YAML::Value << value;
  out << YAML::EndMap << YAML::Key << "imports" << YAML::Value << YAML::BeginSeq;
  for (size_t i = 0; i < imports_.size(); ++i) emit_import(out, imports_[i], static_cast<int64_t>(i), days_);
  out << YAML::EndSeq << YAML::EndMap;
  return str(
      "# A LIME-train dataset; docs/data_format.md describes it. Counts and sizes are checked at opening.\n",
      out.c_str(), "\n");
}

void Dataset::parse(const std::string& text) {
  const std::string path = directory_ + "/dataset.yaml";
  const Value root(path, load_yaml(text, path), "");
  if (const auto format = root["format"].text(); format != "lime-dataset")
    root["format"].fail(str("found '", format, "', expected 'lime-dataset'"));
  if (const int64_t version = root["version"].count(); version != format_version)
    root["version"].fail(str("found ", version, ", this program reads version ", format_version,
                             version < format_version ? "; import the log again" : ""));
  schema_.name = root["name"].text();
  schema_.source = root["source"].text();
  schema_.time_zone = root["time_zone"].text();
  using enum ColumnGroup;
  for (const auto& column : root["columns"].list())
    schema_.columns.push_back({column["name"].text(),
                               column["group"].one_of({user, event, request, candidate, item}),
                               column["kind"].one_of({ColumnKind::id, ColumnKind::ids, ColumnKind::real})});
  if (root.has("event_items")) schema_.event_items = root["event_items"].flag();
  schema_.labels = root["labels"].texts();
  schema_.weights = root["weights"].texts();
  const Value facts = root["facts"];
  for (const auto& name : facts.keys()) schema_.facts[name] = facts[name].number();
  try {
    check_schema(schema_);
  } catch (const UserError& error) {
    throw UserError(str(path, ": ", error.what()));
  }

  for (const auto& entry : root["imports"].list()) {
    const auto number = static_cast<int64_t>(imports_.size());
    imports_.push_back(read_import(entry));
    if (imports_.back().parts.size() != imports_.front().parts.size())
      entry["parts"].fail(str("found ", imports_.back().parts.size(), ", expected ", parts()));
    for (const auto& day : entry["days"].list()) {
      days_.push_back(read_day_info(day, parts()));
      days_.back().import = number;
      if (days_.size() > 1 && days_.back().day <= days_[days_.size() - 2].day)
        day["day"].fail(str(days_.back().day, " is not after ", days_[days_.size() - 2].day));
    }
  }
  if (imports_.empty()) root["imports"].fail("found none, expected at least one");
  count();
}

}  // namespace lime
