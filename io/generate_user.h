// One synthetic user's log: everything about it is a function of (options, user), so any user can be made at
// any time.
#pragma once

#include <cstdint>
#include <vector>

#include "io/generate.h"

namespace lime {

struct SyntheticEvent {
  int64_t time_ms = 0, item = 0;
  bool click = false;
};

struct SyntheticCandidate {
  int64_t item = 0;
  int64_t probability = 0;      // P(click = 1), in units of 2^-16 (generate_truth.h)
  int64_t without_history = 0;  // the part of it that does not depend on the history, as a probability
  bool click = false;
  float watch_time = 0;
};

struct SyntheticUser {
  int64_t segment = 0;
  std::vector<SyntheticEvent> events;          // by time
  std::vector<int64_t> request_times;          // by time; requests_per_user_per_day of each day
  std::vector<SyntheticCandidate> candidates;  // `candidates` of each request, in order
};

class UserGenerator {
 public:
  static constexpr int64_t segments = 8;

  // Throws UserError naming the option that is out of range.
  explicit UserGenerator(const GenerateOptions&);

  int64_t first_day() const { return first_day_; }  // days since epoch
  int64_t topic(int64_t item) const { return item % options_.topics; }
  // Overwrites `out`, whose memory is reused.
  void make(int64_t user, SyntheticUser& out) const;

 private:
  class Draws;
  int64_t draw_history_length(double uniform) const;
  int64_t draw_item(int64_t topic, double uniform) const;
  void make_events(Draws&, SyntheticUser& out) const;
  void make_requests(Draws&, SyntheticUser& out) const;

  GenerateOptions options_;
  int64_t first_day_ = 0;
  double history_exponent_ = 0;  // the power law's, found from history_mean
  std::vector<double> segment_bias_;
};

}  // namespace lime
