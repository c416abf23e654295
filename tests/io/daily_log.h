// Logs of whole days, added to a dataset bit by bit, and what two datasets have in common.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/io/import_dump.h"
#include "tests/io/random_log.h"

namespace lime {

// A random log of which every row is of the day of its time, days in order; but for some rows at the last
// millisecond of a day, which count for the next one: what is added has the time of what is there then.
// Without `events_have_days` there are none of these.
RandomLog daily_log(uint64_t seed, bool events_have_days = true);
std::vector<std::string> days_of(const RandomLog&);
// The rows of some days, with all rows of users and items. "": from the beginning, to the end.
RandomLog between(const RandomLog&, const std::string& first, const std::string& last);

WriterOptions adding_writer();
AddedRows add(const RandomLog&, const std::string& directory);
// Days up to the first of `ends`, then from there to the next one, and so on; "" ends with the last day.
Dataset grow(const RandomLog&, const std::string& directory, const std::vector<std::string>& ends,
             int64_t parts);

// All batches of one shard.
std::vector<Batch> batches_of(const Dataset&, HistoryMode = HistoryMode::running);
void expect_same(const std::vector<Batch>&, const std::vector<Batch>&);
void expect_same_rows(const DumpedDataset&, const DumpedDataset&);
// Every file of a directory and its bytes.
std::map<std::string, std::string> files_of(const std::string& directory);

}  // namespace lime
