// A folder with a mapping and files of text, which are imported from there.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "io/import_csv.h"
#include "tests/io/import_dump.h"
#include "tests/support/test_support.h"

namespace lime {

// A mapping of log.csv that names what every mapping has to; keys of `impressions` may follow it.
constexpr const char* minimal_mapping = R"(
impressions:
  files: log.csv
  user: user
  item: item
  time: {column: ts, unit: s}
  labels: {click: clicked}
)";

class CsvImport : public testing::Test {
 protected:
  CsvImport() {
    options_.mapping = directory_.file("mapping.yaml");
    options_.out = directory_.file("dataset");
    options_.writer.parts = 2;
  }
  void write(const std::string& name, const std::string& text) { write_file(directory_.file(name), text); }

  DumpedDataset import() {
    report_ = import_csv(options_);
    return dump(Dataset::open(options_.out));
  }
  // The one line that an import ends with, which leaves nothing behind.
  std::string failure() {
    const auto before = folders();
    const std::string error = user_error([&] { import_csv(options_); });
    EXPECT_EQ(folders(), before);
    return error;
  }

  TempDirectory directory_;
  CsvImportOptions options_;
  ImportReport report_;

 private:
  int64_t folders() const {
    return std::ranges::count_if(std::filesystem::directory_iterator(directory_.path()),
                                 [](const auto& entry) { return entry.is_directory(); });
  }
};

}  // namespace lime
