// A folder with a mapping and files of text, which are imported from there.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "io/import_csv.h"
#include "tests/support/test_support.h"

namespace lime {

class CsvImport : public testing::Test {
 protected:
  CsvImport() {
    options_.mapping = directory_.file("mapping.yaml");
    options_.out = directory_.file("dataset");
    options_.writer.parts = 2;
  }
  void write(const std::string& name, const std::string& text) { write_file(directory_.file(name), text); }

  TempDirectory directory_;
  CsvImportOptions options_;
};

}  // namespace lime
