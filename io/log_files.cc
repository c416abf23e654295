#include "io/log_files.h"

#include <glob.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

namespace fs = std::filesystem;

void add_files_below(const std::string& directory, std::vector<std::string>& files) {
  const auto before = files.size();
  std::error_code failed;
  fs::recursive_directory_iterator at(directory, fs::directory_options::follow_directory_symlink, failed);
  for (; !failed && at != fs::recursive_directory_iterator(); at.increment(failed)) {
    const auto name = at->path().filename().string();
    if (name.starts_with('.') || name.starts_with('_')) {
      at.disable_recursion_pending();
    } else if (at->is_regular_file(failed)) {
      files.push_back(at->path().string());
    }
  }
  if (failed) throw UserError(str(directory, ": cannot read the directory: ", failed.message()));
  if (files.size() == before) throw UserError(str(directory, ": found a directory without files"));
}

std::string without_escapes(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char code = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2) {
      plain += static_cast<char>(code);
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

std::vector<std::string> expand_patterns(const std::vector<std::string>& patterns) {
  std::vector<std::string> files;
  for (const auto& pattern : patterns) {
    glob_t found{};
    const int failed = ::glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &found);
    const std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + (failed ? 0 : found.gl_pathc));
    ::globfree(&found);
    if (failed != 0) throw UserError(str(pattern, ": found no file of this name or pattern"));
    for (const auto& path : paths) {
      if (fs::is_directory(path))
        add_files_below(path, files);
      else
        files.push_back(path);
    }
  }
  if (files.empty()) throw UserError("found no input file, expected at least one");
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

std::vector<PathColumn> columns_of_path(std::string_view path) {
  std::vector<PathColumn> columns;
  for (size_t begin = 0, end; (end = path.find('/', begin)) != std::string_view::npos; begin = end + 1) {
    const std::string_view directory = path.substr(begin, end - begin);
    const size_t equals = directory.find('=');
    if (equals == 0 || equals == std::string_view::npos) continue;
    PathColumn column{without_escapes(directory.substr(0, equals)),
                      without_escapes(directory.substr(equals + 1))};
    if (column.value == "__HIVE_DEFAULT_PARTITION__") column.value.clear();
    std::erase_if(columns, [&](const PathColumn& outer) { return outer.name == column.name; });
    columns.push_back(std::move(column));
  }
  return columns;
}

}  // namespace lime
