// What a comparison trains: each entry (a model, or a variant of one) with each seed, on the same days.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/config.h"

namespace lime {

// What the command line asked for.
struct ComparisonRequest {
  std::string config;                // YAML file
  std::vector<std::string> entries;  // "hstu", or "NAME=MODEL": "short=lime_xor"
  std::vector<uint64_t> seeds;
  std::string baseline;                           // an entry's name; "": the first
  Overrides settings;                             // of all runs
  std::map<std::string, Overrides> settings_for;  // of an entry's runs, after those of all
  std::string out;                                // directory
};

struct ComparisonRun {
  size_t entry = 0;  // index of ComparisonPlan::entries
  uint64_t seed = 0;
  std::string name;       // "hstu-1"
  std::string directory;  // OUT/runs/hstu-1
  Overrides overrides;    // model.name and seed among them
  Config config;          // as the run is given it
};

struct ComparisonPlan {
  struct Entry {
    std::string name, model;
    Overrides settings;  // its own
  };
  std::string config_path, out;
  Overrides settings;  // of all
  std::vector<Entry> entries;
  std::vector<uint64_t> seeds;
  size_t baseline = 0;
  std::vector<ComparisonRun> runs;  // seed by seed, so that what is there after a while compares all entries

  const ComparisonRun& run(size_t entry, size_t seed) const { return runs.at(seed * entries.size() + entry); }
  // The held-out days, tasks and histories are those of every run.
  const Config& common() const { return runs.front().config; }
};

// Checks everything that can be before the first run starts. Throws UserError: an unknown model or key, a
// name twice or with characters that a directory should not have, no or repeated seeds, a baseline or an
// entry of settings_for that is not in the list, data.eval empty, held-out days that are trained on, entries
// that differ in what they are measured by (data.path, data.train, data.eval, tasks, eval.history,
// eval.watch_time), and an output directory that holds something else, or runs of another configuration
// (naming the first key).
ComparisonPlan plan_comparison(const ComparisonRequest&);

// A run that has all that a report needs.
bool is_complete(const ComparisonRun&);
std::string rows_path(const ComparisonRun&);  // DIRECTORY/rows.h5

}  // namespace lime
