#include "io/list_exploder.h"

#include <algorithm>
#include <utility>

#include "runtime/error.h"

namespace lime {

ListExploder::ListExploder(Explode explode, std::vector<size_t> lists, size_t added)
    : explode_(std::move(explode)), lists_(std::move(lists)), added_(added) {
  LIME_CHECK(!lists_.empty() && !explode_.separator.empty());
  LIME_CHECK(explode_.into.empty() || (lists_.size() == 1 && !explode_.cut.empty()));
}

std::string ListExploder::start(const std::vector<std::string_view>& record) {
  values_.clear();
  row_ = rows_ = 0;
  std::vector<size_t> counts;
  for (const size_t list : lists_) {
    values_.emplace_back(record[list], explode_.separator);
    counts.push_back(values_.back().left());
  }
  const auto most = std::max_element(counts.begin(), counts.end());
  for (size_t k = 0; k < lists_.size(); ++k)
    if (counts[k] != *most && !(*most == 1 && record[lists_[k]].empty()))
      return str("found ", *most, " values in '",
                 explode_.columns[static_cast<size_t>(most - counts.begin())], "' and ", counts[k], " in '",
                 explode_.columns[k], "', expected as many");
  rows_ = *most;
  return {};
}

bool ListExploder::next(std::vector<std::string_view>& fields, std::string& wrong) {
  wrong.clear();
  if (row_ == rows_) return false;
  fields.resize(added_ + explode_.into.size() + (explode_.index.empty() ? 0 : 1));
  for (size_t k = 0; k < lists_.size(); ++k)
    if (!values_[k].next(fields[lists_[k]])) fields[lists_[k]] = {};
  if (!explode_.index.empty()) {
    index_ = std::to_string(row_);
    fields.back() = index_;
  }
  ++row_;
  if (!cut(fields[lists_[0]], fields))
    wrong = str("found '", fields[lists_[0]].substr(0, 60), "', expected ", explode_.into.size(),
                " parts with '", explode_.cut, "' between them");
  return true;
}

bool ListExploder::cut(std::string_view value, std::vector<std::string_view>& fields) const {
  for (size_t k = explode_.into.size(); k-- > 1;) {
    const size_t at = value.rfind(explode_.cut);
    if (at == std::string_view::npos) return false;
    fields[added_ + k] = value.substr(at + explode_.cut.size());
    value = value.substr(0, at);
  }
  if (!explode_.into.empty()) fields[added_] = value;
  return true;
}

}  // namespace lime
