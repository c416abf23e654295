#include "io/import_values.h"

#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <limits>
#include <utility>

#include "io/dataset.h"
#include "io/list_text.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int64_t ms_per_minute = 60'000;
constexpr int64_t ms_per_day = 86'400'000;

// Exactly `digits` decimal digits at the front, which are taken off.
std::optional<int> take_digits(std::string_view& text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = 10 * value + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<int64_t> parse_zone(std::string_view text) {
  if (text == "Z" || text == "UTC") return 0;
  if (text.empty() || (text.front() != '+' && text.front() != '-')) return std::nullopt;
  const int64_t sign = text.front() == '-' ? -1 : 1;
  text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  if (!hours) return std::nullopt;
  take(text, ':');
  const auto minutes = text.empty() ? std::optional<int>(0) : take_digits(text, 2);
  if (!minutes || !text.empty() || *hours > 14 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 60 + *minutes) * ms_per_minute;
}

// Days since epoch of the date at the front, taken off: yyyy-mm-dd, or yyyymmdd where `compact`.
std::optional<int64_t> take_date(std::string_view& text, bool compact) {
  const auto year = take_digits(text, 4);
  if (!year || (!compact && !take(text, '-'))) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || (!compact && !take(text, '-'))) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

}  // namespace

int64_t hashed_id(std::string_view text) {
  return static_cast<int64_t>(XXH3_64bits(text.data(), text.size()) & std::numeric_limits<int64_t>::max());
}

int64_t feature_id(std::string_view text) {
  if (text.empty()) return -1;
  if (const auto integer = parse_number<int64_t>(text)) return *integer < 0 ? -1 : *integer;
  if (const auto real = parse_number<double>(text); real && std::isfinite(*real)) {
    if (*real < 0) return -1;
    constexpr double exact = 9007199254740992.0;  // 2^53: beyond it a double no longer tells integers apart
    // With an exponent it is rather hexadecimal: "12e4".
    const bool has_exponent = text.find_first_of("eE") != std::string_view::npos;
    if (*real < exact && *real == std::floor(*real) && !has_exponent) return static_cast<int64_t>(*real);
  }
  return hashed_id(text);
}

void split_ids(std::string_view text, std::string_view separator, std::vector<int64_t>& ids) {
  ids.clear();
  ListText list(text, separator);
  for (std::string_view value; list.next(value);)
    if (const int64_t id = feature_id(value); id >= 0) ids.push_back(id);
}

std::optional<int64_t> entity_id(std::string_view text) {
  const int64_t id = feature_id(text);
  return id < 0 ? std::nullopt : std::optional(id);
}

int64_t epoch_day(int64_t time_ms, int64_t zone_ms) {
  const int64_t local = time_ms + zone_ms;
  return local / ms_per_day - (local % ms_per_day < 0 ? 1 : 0);
}

bool has_day(int64_t time_ms, int64_t zone_ms) {
  constexpr int64_t first = -719528, last = 2932896;  // 0000-01-01 and 9999-12-31
  constexpr int64_t far = (last + 1) * ms_per_day;    // before the zone is added, which must not overflow
  if (time_ms < -far || time_ms > far) return false;
  const int64_t day = epoch_day(time_ms, zone_ms);
  return day >= first && day <= last;
}

std::string day_of(int64_t time_ms, int64_t zone_ms) { return format_day(epoch_day(time_ms, zone_ms)); }

std::optional<std::string> read_day(std::string_view text) {
  const auto date = take_date(text, text.size() == 8);
  if (!date || !text.empty()) return std::nullopt;
  return format_day(*date);
}

std::optional<int64_t> read_iso8601(std::string_view text, int64_t zone_ms) {
  const auto date = take_date(text, false);
  if (!date) return std::nullopt;
  int64_t ms = *date * ms_per_day;
  if (text.empty()) return ms - zone_ms;
  if (!take(text, 'T') && !take(text, ' ')) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59) return std::nullopt;
  ms += (*hour * 60 + *minute) * ms_per_minute;
  if (take(text, ':')) {
    const auto second = take_digits(text, 2);
    if (!second || *second > 60) return std::nullopt;
    ms += *second * int64_t{1000};
    if (take(text, '.')) {
      int64_t scale = 100;
      size_t digits = 0;
      for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits, scale /= 10)
        ms += scale * (text[digits] - '0');
      if (digits == 0) return std::nullopt;
      text.remove_prefix(digits);
    }
  }
  if (text.empty()) return ms - zone_ms;
  const auto zone = parse_zone(text);
  if (!zone) return std::nullopt;
  return ms - *zone;
}

bool has_conversion(std::string_view format, char conversion) {
  for (size_t at = 0; (at = format.find('%', at)) != std::string_view::npos; ++at) {
    at = format.find_first_not_of("-_0^#EO", at + 1);  // strptime's flags
    if (at == std::string_view::npos) return false;
    if (format[at] == conversion) return true;
  }
  return false;
}

std::optional<int64_t> read_time(std::string_view text, const std::string& format, int64_t zone_ms) {
  const std::string whole(text);
  std::tm parts{};
  parts.tm_year = 70;
  parts.tm_mday = 1;
  const char* end = strptime(whole.c_str(), format.c_str(), &parts);
  if (end != whole.c_str() + whole.size()) return std::nullopt;
  const auto [month, day] = std::pair(parts.tm_mon, parts.tm_mday);
  const int64_t offset_ms = has_conversion(format, 'z') ? parts.tm_gmtoff * 1000 : zone_ms;
  const std::time_t time = timegm(&parts);  // which takes the 31st of April for the 1st of May
  if (parts.tm_mon != month || parts.tm_mday != day) return std::nullopt;
  return int64_t{time} * 1000 - offset_ms;
}

}  // namespace lime
