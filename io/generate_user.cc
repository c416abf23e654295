#include "io/generate_user.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "io/dataset.h"
#include "io/generate_truth.h"
#include "runtime/error.h"
#include "runtime/philox.h"

namespace lime {
namespace {

constexpr int64_t ms_per_day = 86'400'000;
constexpr int64_t history_span_ms = 30 * ms_per_day;  // events before the first day
constexpr double two_to_minus_32 = 1.0 / 4294967296.0;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

int64_t to_units(double probability) {
  return std::clamp<int64_t>(std::llround(probability * static_cast<double>(probability_unit)), 1,
                             probability_unit - 1);
}

// Integral of x^exponent over [low, high].
double power_integral(double exponent, double low, double high) {
  if (std::abs(exponent + 1) < 1e-9) return std::log(high / low);
  return (std::pow(high, exponent + 1) - std::pow(low, exponent + 1)) / (exponent + 1);
}

// The point of [low, high) below which a share of `uniform` of the density x^-exponent lies.
double power_quantile(double exponent, double low, double high, double uniform) {
  if (std::abs(exponent - 1) < 1e-9) return low * std::pow(high / low, uniform);
  const double a = std::pow(low, 1 - exponent), b = std::pow(high, 1 - exponent);
  return std::pow(a + (b - a) * uniform, 1 / (1 - exponent));
}

// The exponent for which whole numbers in [min, max], drawn as the floor of x^-exponent on [min, max + 1),
// have this mean.
double exponent_of_mean(double min, double max, double mean) {
  double low = -8, high = 8;  // the mean falls as the exponent grows
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    const double at = power_integral(1 - middle, min, max + 1) / power_integral(-middle, min, max + 1) - 0.5;
    (at > mean ? low : high) = middle;
  }
  return (low + high) / 2;
}

template <typename T>
void need(bool good, const char* option, const T& found, const char* expected) {
  if (!good) throw UserError(str("generate: ", option, ": found ", found, ", expected ", expected));
}

void check(const GenerateOptions& o) {
  need(o.users > 0, "users", o.users, "at least 1");
  need(o.days > 0, "days", o.days, "at least 1");
  need(o.requests_per_user_per_day > 0, "requests_per_user_per_day", o.requests_per_user_per_day,
       "at least 1");
  need(o.candidates > 0, "candidates", o.candidates, "at least 1");
  need(o.topics >= 2 && o.topics % 2 == 0, "topics", o.topics, "an even number of at least 2");
  need(o.items >= o.topics, "items", o.items, "at least as many as topics");
  if (o.history_length == 0) {
    need(o.history_min >= 0, "history_min", o.history_min, "at least 0");
    need(o.history_max >= std::max<int64_t>(o.history_min, 1), "history_max", o.history_max,
         "at least 1 and history_min");
    const auto min = static_cast<double>(o.history_min), max = static_cast<double>(o.history_max);
    need(o.history_min == o.history_max || (o.history_mean > min && o.history_mean < max), "history_mean",
         o.history_mean, "a number between history_min and history_max");
  }
  need(o.history_length >= 0, "history_length", o.history_length, "at least 0");
  need(o.events_per_user_per_day >= 0, "events_per_user_per_day", o.events_per_user_per_day, "at least 0");
  need(o.action_noise >= 0 && o.action_noise <= 0.5, "action_noise", o.action_noise,
       "a number from 0 to 0.5");
  need(o.exposure > 0 && o.exposure < 1, "exposure", o.exposure, "a number between 0 and 1");
  need(o.item_exponent >= 0 && o.item_exponent <= 4, "item_exponent", o.item_exponent,
       "a number from 0 to 4");
  need(o.signal_lag >= 0, "signal_lag", o.signal_lag, "at least 0");
  for (const auto& [name, value] : {std::pair{"interest", o.interest},
                                    {"evidence", o.evidence},
                                    {"item_quality", o.item_quality},
                                    {"user_bias", o.user_bias}})
    need(std::isfinite(value) && value >= 0, name, value, "a number of at least 0");
  need(std::isfinite(o.bias), "bias", o.bias, "a number");
}

}  // namespace

// Numbers for one user, one after another; `next` gives four at once.
class UserGenerator::Draws {
 public:
  Draws(uint64_t seed, int64_t user)
      : philox_(seed, stream_of("generate user", static_cast<uint64_t>(user))) {}

  std::array<double, 4> next() {
    const auto words = philox_.block(position_++);
    std::array<double, 4> out{};
    for (size_t i = 0; i < 4; ++i) out[i] = static_cast<double>(words[i]) * two_to_minus_32;
    return out;
  }
  int64_t below(int64_t n) {
    return static_cast<int64_t>(philox_.below(static_cast<uint64_t>(n), position_++));
  }

 private:
  Philox philox_;
  uint64_t position_ = 0;
};

UserGenerator::UserGenerator(const GenerateOptions& options) : options_(options) {
  check(options);
  try {
    first_day_ = parse_day(options.first_day);
  } catch (const UserError& error) {
    throw UserError(str("generate: first_day: ", error.what()));
  }
  if (options.history_min < options.history_max)
    history_exponent_ = exponent_of_mean(std::max(static_cast<double>(options.history_min), 0.5),
                                         static_cast<double>(options.history_max), options.history_mean);
  const Philox philox(options.seed, stream_of("generate segment"));
  for (int64_t s = 0; s < segments; ++s)
    segment_bias_.push_back(options.user_bias * philox.normal(static_cast<uint64_t>(s)));
}

int64_t UserGenerator::draw_history_length(double uniform) const {
  if (options_.history_length > 0) return options_.history_length;
  if (options_.history_min == options_.history_max) return options_.history_min;
  const double low = std::max(static_cast<double>(options_.history_min), 0.5);  // a power law has no zero
  const double x =
      power_quantile(history_exponent_, low, static_cast<double>(options_.history_max) + 1, uniform);
  return std::clamp(static_cast<int64_t>(x), options_.history_min, options_.history_max);
}

int64_t UserGenerator::draw_item(int64_t topic, double uniform) const {
  const int64_t ranks = (options_.items - topic + options_.topics - 1) / options_.topics;
  const double x = power_quantile(options_.item_exponent, 1.0, static_cast<double>(ranks) + 1, uniform);
  return std::clamp<int64_t>(static_cast<int64_t>(x) - 1, 0, ranks - 1) * options_.topics + topic;
}

void UserGenerator::make(int64_t user, SyntheticUser& out) const {
  Draws draws(options_.seed, user);
  out.segment = draws.below(segments);
  out.events.clear();
  out.request_times.clear();
  out.candidates.clear();
  make_events(draws, out);
  make_requests(draws, out);
}

void UserGenerator::make_events(Draws& draws, SyntheticUser& out) const {
  const int64_t topics = options_.topics, start = first_day_ * ms_per_day;
  // Which topics are liked: the first half of a shuffled list.
  std::vector<int64_t> order(static_cast<size_t>(topics));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t k = topics - 1; k > 0; --k)
    std::swap(order[static_cast<size_t>(k)], order[static_cast<size_t>(draws.below(k + 1))]);

  const int64_t length = draw_history_length(draws.next()[0]);
  auto add = [&](int64_t time_ms, bool signal) {
    const auto [which, rank, noise, coin] = draws.next();
    const bool liked = which < options_.exposure;
    const double share =
        liked ? which / options_.exposure : (which - options_.exposure) / (1 - options_.exposure);
    const int64_t place =
        std::min(static_cast<int64_t>(share * static_cast<double>(topics / 2)), topics / 2 - 1);
    const int64_t of_topic = order[static_cast<size_t>(liked ? place : topics / 2 + place)];
    const bool click = signal ? liked != (noise < options_.action_noise) : coin < 0.5;
    out.events.push_back({time_ms, draw_item(of_topic, rank), click});
  };
  for (int64_t j = 0; j < length; ++j) {
    const double share = (static_cast<double>(j) + draws.next()[0]) / static_cast<double>(length);
    add(start - history_span_ms + static_cast<int64_t>(share * static_cast<double>(history_span_ms)),
        j < length - options_.signal_lag);
  }
  if (options_.history_length > 0) return;
  std::vector<int64_t> times;
  for (int64_t day = 0; day < options_.days; ++day) {
    const auto more = static_cast<int64_t>(options_.events_per_user_per_day + draws.next()[0]);
    for (int64_t k = 0; k < more; ++k) times.push_back(start + day * ms_per_day + draws.below(ms_per_day));
  }
  std::sort(times.begin(), times.end());
  for (const int64_t time : times) add(time, options_.signal_lag == 0);
}

void UserGenerator::make_requests(Draws& draws, SyntheticUser& out) const {
  const int64_t topics = options_.topics, start = first_day_ * ms_per_day;
  const int64_t per_day = options_.requests_per_user_per_day;
  const Philox quality(options_.seed, stream_of("generate quality"));
  // Events that count: all, or with a lag only those that carried the signal.
  const auto before_first_day = std::partition_point(
      out.events.begin(), out.events.end(), [&](const SyntheticEvent& e) { return e.time_ms < start; });
  const int64_t counted =
      options_.signal_lag == 0
          ? static_cast<int64_t>(out.events.size())
          : std::max<int64_t>(before_first_day - out.events.begin() - options_.signal_lag, 0);
  std::vector<int64_t> evidence(static_cast<size_t>(topics), 0);  // clicked minus skipped events, by topic
  int64_t seen = 0;
  for (int64_t day = 0; day < options_.days; ++day) {
    for (int64_t r = 0; r < per_day; ++r) {
      const double of_day = (static_cast<double>(r) + draws.next()[0]) / static_cast<double>(per_day);
      const int64_t time =
          start + day * ms_per_day + static_cast<int64_t>(of_day * static_cast<double>(ms_per_day));
      out.request_times.push_back(time);
      for (; seen < counted && out.events[static_cast<size_t>(seen)].time_ms < time; ++seen) {
        const auto& event = out.events[static_cast<size_t>(seen)];
        evidence[static_cast<size_t>(topic(event.item))] += event.click ? 1 : -1;
      }
      for (int64_t c = 0; c < options_.candidates; ++c) {
        const auto [which, rank, label, watch] = draws.next();
        const int64_t of_topic =
            std::min(static_cast<int64_t>(which * static_cast<double>(topics)), topics - 1);
        SyntheticCandidate candidate;
        candidate.item = draw_item(of_topic, rank);
        const double base = options_.bias + segment_bias_[static_cast<size_t>(out.segment)] +
                            options_.item_quality * quality.normal(static_cast<uint64_t>(candidate.item));
        const auto net = static_cast<double>(topics * evidence[static_cast<size_t>(of_topic)]);
        const double share = net / static_cast<double>(std::max<int64_t>(seen, 1));
        candidate.without_history = to_units(sigmoid(base));
        candidate.probability =
            to_units(sigmoid(base + options_.interest * std::tanh(options_.evidence * share)));
        candidate.click =
            label * static_cast<double>(probability_unit) < static_cast<double>(candidate.probability);
        candidate.watch_time = static_cast<float>(candidate.click ? 5 + 55 * watch : 5 * watch);
        out.candidates.push_back(candidate);
      }
    }
  }
}

}  // namespace lime
