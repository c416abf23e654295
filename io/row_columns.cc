#include "io/row_columns.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace lime {

bool operator==(const RowValues& a, const RowValues& b) {
  const auto same = [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  return a.ids == b.ids && a.lists == b.lists && std::ranges::equal(a.reals, b.reals, same);
}

RowLayout::RowLayout(const DatasetSchema& schema, ColumnGroup group) : group_(group) {
  for (const auto& column : schema.columns) {
    if (column.group != group) continue;
    columns_.push_back(column);
    ++(column.kind == ColumnKind::id ? ids_ : column.kind == ColumnKind::ids ? lists_ : reals_);
  }
}

void RowLayout::encode(const RowValues& values, RecordWriter& out) const {
  LIME_CHECK(values.ids.size() == ids_ && values.lists.size() == lists_ && values.reals.size() == reals_,
             "a row of group ", to_string(group_), " has ", values.ids.size(), " ids, ", values.lists.size(),
             " lists, ", values.reals.size(), " reals; the schema has ", ids_, ", ", lists_, ", ", reals_);
  for (const float value : values.reals)
    if (std::isinf(value))
      throw UserError(str("group ", to_string(group_), ": found ", value, ", expected a finite number"));
  out.put_all(values.ids.data(), ids_);
  out.put_all(values.reals.data(), reals_);
  for (const auto& list : values.lists) out.put_list(list);
}

void RowLayout::decode(RecordReader& in, RowValues& values) const {
  values.ids.resize(ids_);
  values.lists.resize(lists_);
  values.reals.resize(reals_);
  in.get_all(values.ids.data(), ids_);
  in.get_all(values.reals.data(), reals_);
  for (auto& list : values.lists) in.get_list(list);
}

RowValues RowLayout::missing() const {
  RowValues values;
  values.ids.assign(ids_, -1);
  values.lists.resize(lists_);
  values.reals.assign(reals_, missing_number);
  return values;
}

GroupColumns::GroupColumns(Hdf5File& file, const std::string& prefix, const RowLayout& layout,
                           const H5Options& options) {
  for (const auto& column : layout.columns()) {
    const std::string name = prefix + "/" + column.name;
    if (column.kind == ColumnKind::id)
      ids_.emplace_back(file, name, options);
    else if (column.kind == ColumnKind::real)
      reals_.emplace_back(file, name, options);
    else
      lists_.push_back({{file, name + "/offsets", options}, {file, name + "/values", options}});
  }
  for (auto& list : lists_) list.offsets.push(0);
}

void GroupColumns::push(const RowValues& values) {
  for (size_t i = 0; i < ids_.size(); ++i) ids_[i].push(values.ids[i]);
  for (size_t i = 0; i < reals_.size(); ++i) reals_[i].push(values.reals[i]);
  for (size_t i = 0; i < lists_.size(); ++i) {
    auto& list = lists_[i];
    for (const int64_t value : values.lists[i]) list.values.push(value);
    list.offsets.push(list.end += static_cast<int64_t>(values.lists[i].size()));
  }
}

void GroupColumns::flush() {
  for (auto& column : ids_) column.flush();
  for (auto& column : reals_) column.flush();
  for (auto& list : lists_) {
    list.offsets.flush();
    list.values.flush();
  }
}

}  // namespace lime
