// A record's lists, a row for each of their values: what SQL calls explode.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "io/list_text.h"

namespace lime {

struct Explode {
  std::vector<std::string> columns;  // lists that are equally long; empty: nothing is exploded
  std::string separator = "|";       // of their values (io/list_text.h)
  // Columns that come of it, after those of the file. `into`: the one list's values are each cut, at the last
  // `cut` between each two of these ("N7-0-1" at "-" into two is "N7-0" and "1").
  std::string cut;
  std::vector<std::string> into;
  std::string index;  // where in its list the value stands, from 0; "": no such column
};

class ListExploder {
 public:
  // `lists`: places of explode.columns in a record; the columns that come of it stand from `added` on.
  ListExploder(Explode explode, std::vector<size_t> lists, size_t added);

  // Takes a record, of `added` fields. Returns what is wrong with it, "found 3 values in 'items' and 2 in
  // 'clicks', expected as many", and has no rows then; "": nothing is. An empty text is one empty value where
  // the other lists have one.
  std::string start(const std::vector<std::string_view>& record);

  // Makes the fields those of the record's next row; false: there is none. Returns what is wrong with the row
  // in `wrong`, "": nothing is; the rows after it are good as they are.
  bool next(std::vector<std::string_view>& fields, std::string& wrong);

 private:
  bool cut(std::string_view value, std::vector<std::string_view>& fields) const;

  Explode explode_;
  std::vector<size_t> lists_;
  size_t added_;
  std::vector<ListText> values_;  // of each list, those of the rows to come
  size_t rows_ = 0, row_ = 0;
  std::string index_;  // of the row, as text
};

}  // namespace lime
