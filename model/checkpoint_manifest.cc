#include "model/checkpoint_manifest.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/checkpoint_files.h"
#include "model/file_checksum.h"
#include "runtime/error.h"

namespace lime {
namespace {

using Json = nlohmann::json;

constexpr const char* format_name = "lime-checkpoint";
constexpr int most_levels = 16;  // what is deeper is no manifest, and would be gone through by recursion
constexpr const char* own_checksum = "manifest_xxh3";  // over the dump of everything else

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Exact, and the same bits after reading, for every double.
std::string hex_float(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

Json to_json(const ShardPosition& p) {
  return {{"shard", p.shard}, {"epoch", p.epoch}, {"unit", p.unit}, {"request", p.request}};
}

Json content_of(const CheckpointManifest& manifest) {
  Json json;
  json["format"] = format_name;
  json["version"] = checkpoint_version;
  json["model"] = lines_of(manifest.model);
  json["seed"] = manifest.seed;
  json["step"] = manifest.state.step;
  json["epoch"] = manifest.state.epoch;
  json["finished"] = manifest.state.finished;
  json["positions"] = Json::array();
  for (const auto& position : manifest.state.positions) json["positions"].push_back(to_json(position));
  const ReadingOrder& order = manifest.state.order;
  json["order"] = {
      {"shuffle_window", order.shuffle_window}, {"days", order.days}, {"imports", order.imports}};
  json["extra"] = Json::object();
  for (const auto& [name, value] : manifest.state.extra) json["extra"][name] = hex_float(value);
  json["files"] = Json::array();
  for (const auto& file : manifest.files)
    json["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"xxh3", file.xxh3}});
  return json;
}

CheckpointManifest from_content(const Json& json) {
  CheckpointManifest manifest;
  for (const auto& line : json.at("model")) manifest.model += line.get<std::string>() + "\n";
  manifest.seed = json.at("seed").get<uint64_t>();
  manifest.state.step = json.at("step").get<int64_t>();
  manifest.state.epoch = json.at("epoch").get<int64_t>();
  manifest.state.finished = json.at("finished").get<bool>();
  for (const auto& p : json.at("positions"))
    manifest.state.positions.push_back({p.at("shard").get<int64_t>(), p.at("epoch").get<int64_t>(),
                                        p.at("unit").get<int64_t>(), p.at("request").get<int64_t>()});
  if (json.contains("order")) {  // early checkpoints have none
    json["order"].at("shuffle_window").get_to(manifest.state.order.shuffle_window);
    json["order"].at("days").get_to(manifest.state.order.days);
    manifest.state.order.imports = json["order"].value("imports", int64_t{0});
  }
  for (const auto& [name, value] : json.at("extra").items())
    manifest.state.extra[name] = std::strtod(value.get<std::string>().c_str(), nullptr);
  for (const auto& file : json.at("files"))
    manifest.files.push_back({file.at("name").get<std::string>(), file.at("bytes").get<int64_t>(),
                              file.at("xxh3").get<std::string>()});
  return manifest;
}

// "key: value" of a signature's line.
std::pair<std::string, std::string> split_line(const std::string& line) {
  const size_t colon = line.find(": ");
  if (colon == std::string::npos) return {line, ""};
  return {line.substr(0, colon), line.substr(colon + 2)};
}

}  // namespace

std::string to_text(const CheckpointManifest& manifest) {
  Json json = content_of(manifest);
  json[own_checksum] = digest_of(json.dump());
  return json.dump(2) + "\n";
}

CheckpointManifest parse_manifest(const std::string& text, const std::string& origin) {
  Json json;
  try {
    json = Json::parse(text, [&](int depth, Json::parse_event_t, Json&) {
      if (depth > most_levels) throw UserError(origin + ": is no manifest: nested too deeply");
      return true;
    });
  } catch (const Json::exception&) {
    throw UserError(origin + ": is not JSON: truncated or overwritten");
  }
  if (!json.is_object() || json.value("format", Json()) != format_name)
    throw UserError(
        str(origin, ": is not the manifest of a checkpoint: no \"format\": \"", format_name, "\""));
  const Json version = json.value("version", Json());
  if (version.is_number_integer() && version != checkpoint_version)
    throw CheckpointVersionError(str(origin, ": checkpoint format version ", version.dump(),
                                     ", this program reads version ", checkpoint_version));
  const Json found = json.value(own_checksum, Json());
  json.erase(own_checksum);
  const std::string expected = digest_of(json.dump());
  if (found != expected)
    throw UserError(str(origin, ": its content does not match its own checksum (", own_checksum, " ",
                        found.dump(), ", expected \"", expected, "\")"));
  try {
    CheckpointManifest manifest = from_content(json);
    manifest.xxh3 = expected;
    return manifest;
  } catch (const Json::exception& error) {
    throw UserError(str(origin, ": ", error.what()));
  }
}

CheckpointFile describe_file(const std::string& directory, const std::string& name) {
  const FileChecksum checksum = checksum_file(join(directory, name));
  return {name, checksum.bytes, checksum.xxh3};
}

void verify_file(const std::string& directory, const CheckpointFile& file) {
  const std::string path = join(directory, file.name);
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (error) throw UserError(str(path, ": ", error.message()));
  if (bytes != static_cast<uintmax_t>(file.bytes))
    throw UserError(str(path, ": ", bytes, " bytes, expected ", file.bytes, ": truncated or overwritten"));
  const FileChecksum found = checksum_file(path);
  if (found.xxh3 != file.xxh3)
    throw UserError(
        str(path, ": checksum ", found.xxh3, ", expected ", file.xxh3, ": its bytes have changed"));
}

namespace {

// Tables of f32 rows have no line of their type; with one for every table, a difference has a name.
// `types` false: without any, where rows of another type will do.
std::vector<std::string> with_types(std::vector<std::string> lines, bool types) {
  const std::string optimizer = ".optimizer", type = ".type";
  std::vector<std::string> all;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string key = split_line(lines[i]).first;
    const bool of_table = key.starts_with("table.");
    if (of_table && key.ends_with(type) && !types) continue;
    all.push_back(lines[i]);
    if (!of_table || !key.ends_with(optimizer) || !types) continue;
    const std::string of_type = key.substr(0, key.size() - optimizer.size()) + type;
    if (i + 1 == lines.size() || split_line(lines[i + 1]).first != of_type) all.push_back(of_type + ": f32");
  }
  return all;
}

}  // namespace

void check_same_model(const CheckpointManifest& manifest, const Config& config, const std::string& directory,
                      bool same_types) {
  const std::string here_text = model_signature(config);
  if (manifest.model == here_text) return;
  const std::vector<std::string> there = with_types(lines_of(manifest.model), same_types),
                                 here = with_types(lines_of(here_text), same_types);
  if (there == here) return;
  size_t i = 0;
  while (i < there.size() && i < here.size() && there[i] == here[i]) ++i;
  const std::string prefix = str("checkpoint ", directory, " is of another model: ");
  if (i == there.size() && i < here.size())
    throw UserError(str(prefix, "\"", here[i], "\" is not there, but here"));
  if (i == here.size() && i < there.size())
    throw UserError(str(prefix, "\"", there[i], "\" is there, but not here"));
  LIME_CHECK(i < there.size(), "signatures that differ only in line ends");
  const auto [there_key, there_value] = split_line(there[i]);
  const auto [here_key, here_value] = split_line(here[i]);
  if (there_key != here_key) throw UserError(str(prefix, "\"", there[i], "\" there, \"", here[i], "\" here"));
  throw UserError(str(prefix, there_key, " is ", there_value, " there, ", here_value, " here"));
}

}  // namespace lime
