// The files that patterns stand for, and the columns that directories name: the layout of logs that Hive,
// Spark and Delta write, log/dt=2022-05-08/hour=07/part-00000.parquet.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lime {

// Files that match any of the patterns (glob(7)), sorted, each once. A directory stands for all files below
// it, but those whose name, or whose directory's name below it, begins with "." or "_" (_SUCCESS,
// _delta_log). Throws UserError for a pattern that matches none, and for a directory that has none.
std::vector<std::string> expand_patterns(const std::vector<std::string>& patterns);

struct PathColumn {
  std::string name, value;
};

// Columns with one value for a whole file: the directories "name=value" of its path, from the outermost to
// the innermost, of which a name's last one counts. %3A and the like are characters; Hive's name for a
// missing value, __HIVE_DEFAULT_PARTITION__, is the empty text.
std::vector<PathColumn> columns_of_path(std::string_view path);

}  // namespace lime
