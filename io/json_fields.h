// A JSON object as a row of columns, alike to what is made of Parquet (io/columns_to_csv.py): members of an
// object are columns object.member, a list is its values joined by "|", a list of objects a list for each of
// their members, with nothing where one lacks it. true and false are 1 and 0, null is an empty text, as are
// NaN and Infinity, numbers are as they are written. Lists of lists are left out.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lime {

// Adds the columns of the object that are not there yet. Returns what is wrong with the text, "": nothing is.
std::string add_json_columns(std::string_view text, std::vector<std::string>& columns);

class JsonFields {
 public:
  // Those of the columns that are `wanted` are filled, all where none is named; the others are left empty.
  JsonFields(const std::vector<std::string>& columns, const std::vector<std::string>& wanted);

  // Makes the fields those of the object, in the order of the columns; valid until the next call. Returns
  // what is wrong with the text, "": nothing is.
  std::string read(std::string_view text, std::vector<std::string_view>& fields);

 private:
  class Row;  // that is read
  struct Field {
    std::string text;
    size_t values = 0;  // of the list it is in, so far
  };
  std::vector<Field> fields_;
  std::map<std::string, size_t, std::less<>> places_;  // of the columns that are filled
};

}  // namespace lime
