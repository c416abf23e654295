// What the commands that write a dataset share: the writer's options, a progress line, and the report.
#pragma once

#include <string>

#include "io/dataset_writer.h"
#include "io/import_report.h"
#include "launch/stop_signal.h"

namespace CLI {
class App;
}

namespace lime {

struct WriterChoices {
  WriterOptions writer;
  std::string out, add_to;  // one of them
  int64_t memory_mb = 1024;
};

// Adds --out and --add-to.
void add_target_options(CLI::App&, WriterChoices&);
// Adds --parts, --memory-mb, --compression and --overwrite, after those.
void add_writer_options(CLI::App&, WriterChoices&);
// The one that was given. Throws CLI::RequiredError without.
std::string target_dataset(const WriterChoices&);
// The options as given, with a progress line on stderr where that is a terminal. The signal gives the work
// up.
WriterOptions writer_options(const WriterChoices&, const StopSignal&);
// Counts, label rates and rows left out, the rate of an import that took so many seconds, and what to do
// next.
void print_report(const ImportReport&, const std::string& dataset, double seconds);

}  // namespace lime
