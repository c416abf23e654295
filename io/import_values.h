// How importers turn text into ids, times and days, the same in each of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lime {

// XXH3 of the text without its top bit: >= 0, stable over runs, platforms and versions.
int64_t hashed_id(std::string_view text);

// A feature's id: an integer from 0 to 2^63 - 1 as it is, also if written as a float below 2^53 with nothing
// after the point ("1.0"); empty or negative ("-124") is -1, missing; any other text ("12e4" too) is hashed.
int64_t feature_id(std::string_view text);

// The feature ids of a list such as "12,65" (io/list_text.h); missing ones are left out.
void split_ids(std::string_view text, std::string_view separator, std::vector<int64_t>& ids);

// A user's, item's or request's id: feature_id, so that a text has one id wherever it stands; nullopt where
// empty or negative.
std::optional<int64_t> entity_id(std::string_view text);

// The day of a time (ms since epoch) at an offset from UTC: in days since epoch, and as "2022-05-08".
int64_t epoch_day(int64_t time_ms, int64_t zone_ms);
// Whether it is a day of the years 0 to 9999: others cannot be written down as days are.
bool has_day(int64_t time_ms, int64_t zone_ms);
std::string day_of(int64_t time_ms, int64_t zone_ms);
// "20220508" or "2022-05-08" as "2022-05-08"; nullopt if there is no such day.
std::optional<std::string> read_day(std::string_view text);
// "2022-05-08T12:34:56.789+08:00" as ms since epoch. A space may stand for T; seconds, fraction and zone may
// be left out, and a time without zone is taken at `zone_ms`; nullopt if malformed.
std::optional<int64_t> read_iso8601(std::string_view text, int64_t zone_ms);

// Whether a format of strptime's has this conversion: %z or %_z, say, but not %%z.
bool has_conversion(std::string_view format, char conversion);
// A time in a format of strptime's ("%d.%m.%Y %H:%M"), as ms since epoch: in the zone that a %z names, else
// at `zone_ms`; nullopt if the text is another, or names no day.
std::optional<int64_t> read_time(std::string_view text, const std::string& format, int64_t zone_ms);

}  // namespace lime
