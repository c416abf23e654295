#include "launch/scored_rows.h"

#include <algorithm>
#include <sstream>
#include <tuple>
#include <utility>

#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int64_t format_version = 2;

std::string group_of(const std::string& history, const std::string& task) {
  return str("/", history, "/", task);
}

template <typename T>
void write_column(Hdf5File& file, const std::string& name, const std::vector<ScoredRow>& rows,
                  T ScoredRow::*member) {
  std::vector<T> values;
  values.reserve(rows.size());
  for (const auto& row : rows) values.push_back(row.*member);
  file.write(name, std::span(std::as_const(values)));
}

template <typename T>
void read_column(const Hdf5File& file, const std::string& name, std::vector<ScoredRow>& rows,
                 T ScoredRow::*member) {
  const auto values = file.read<T>(name);
  rows.resize(std::max(rows.size(), values.size()));
  for (size_t i = 0; i < values.size(); ++i) rows[i].*member = values[i];
}

}  // namespace

ScoredRowsWriter::ScoredRowsWriter(const std::string& path, const std::vector<std::string>& days)
    : draft_(path) {
  draft_.file().set_attribute("/", "format", std::string("lime-rows"));
  draft_.file().set_attribute("/", "version", format_version);
  draft_.file().set_attribute("/", "days", joined(days, ","));
}

void ScoredRowsWriter::add(const std::string& history, const std::string& task, std::vector<ScoredRow> rows) {
  const auto values = [](const ScoredRow& r) {
    return std::tie(r.day, r.user, r.request, r.logit, r.label, r.watch_time);
  };
  std::sort(rows.begin(), rows.end(),
            [&](const ScoredRow& a, const ScoredRow& b) { return values(a) < values(b); });
  const std::string group = group_of(history, task);
  write_column(draft_.file(), group + "/logit", rows, &ScoredRow::logit);
  write_column(draft_.file(), group + "/label", rows, &ScoredRow::label);
  write_column(draft_.file(), group + "/watch_time", rows, &ScoredRow::watch_time);
  write_column(draft_.file(), group + "/day", rows, &ScoredRow::day);
  write_column(draft_.file(), group + "/user", rows, &ScoredRow::user);
  write_column(draft_.file(), group + "/request", rows, &ScoredRow::request);
}

ScoredRowsFile::ScoredRowsFile(const std::string& path) : file_(path, Hdf5File::Mode::read) {
  if (!file_.has_attribute("/", "format") || file_.attribute("/", "format") != "lime-rows")
    throw UserError(str(path, ": found another kind of HDF5 file, expected the rows that --rows writes"));
  const int64_t version = file_.integer_attribute("/", "version");
  if (version != format_version)
    throw UserError(str(path, ": found version ", version, ", expected ", format_version));
  std::istringstream list(file_.attribute("/", "days"));
  for (std::string day; std::getline(list, day, ',');) days_.push_back(day);
}

std::vector<ScoredRow> ScoredRowsFile::read(const std::string& history, const std::string& task) const {
  const std::string group = group_of(history, task);
  std::vector<ScoredRow> rows;
  read_column(file_, group + "/logit", rows, &ScoredRow::logit);
  read_column(file_, group + "/label", rows, &ScoredRow::label);
  read_column(file_, group + "/watch_time", rows, &ScoredRow::watch_time);
  read_column(file_, group + "/day", rows, &ScoredRow::day);
  read_column(file_, group + "/user", rows, &ScoredRow::user);
  read_column(file_, group + "/request", rows, &ScoredRow::request);
  return rows;
}

}  // namespace lime
