#include "model/best_record.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/checkpoint_files.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/file_text.h"

namespace lime {

std::string best_path(const std::string& run_directory) { return join(run_directory, "best.json"); }

std::optional<BestRecord> read_best(const std::string& run_directory) {
  const std::string path = best_path(run_directory);
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const auto json = nlohmann::json::parse(file_text(path));
    BestRecord record{json.at("checkpoint"), json.at("metric"), json.at("history"), json.at("days"),
                      json.at("value")};
    if (checkpoint_step(record.checkpoint)) return record;
  } catch (const nlohmann::json::exception&) {
  }
  throw UserError(
      str(path, ": is damaged, expected the record of the best checkpoint; choose one with --checkpoint"));
}

void write_best(const std::string& run_directory, const BestRecord& record) {
  const nlohmann::ordered_json json{{"checkpoint", record.checkpoint},
                                    {"metric", record.metric},
                                    {"history", record.history},
                                    {"days", record.days},
                                    {"value", record.value}};
  write_file_atomically(best_path(run_directory), json.dump(2) + "\n");
}

void remove_best(const std::string& run_directory) {
  const std::string path = best_path(run_directory);
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) throw UserError(str(path, ": cannot be removed: ", error.message()));
}

}  // namespace lime
