// Logging through glog, with the rank in front of every line.
#pragma once

#include <string>

#define GLOG_NO_ABBREVIATED_SEVERITIES
#include <glog/logging.h>

namespace lime {

// Starts glog once a process: lines go to stderr, begin with "[rank 3/8]" where size > 1, and INFO lines of ranks other
// than 0 are left out unless `verbose`. If `file` is not empty, all lines of this rank go there as well.
void start_logging(const char* program, int rank, int size, bool verbose, const std::string& file = "");

}  // namespace lime
