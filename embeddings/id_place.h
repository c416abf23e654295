// What a table's index holds of an id, in host memory and on devices alike. Internal to embeddings/.
//
//   >= 0      the id's row
//   no_place  nothing is known of it
//   below     it waits for a row (TableConfig::admit_after): in how many steps it had a gradient, and runs
//             since the one of the last of these (WaitingIds)
//
// So look-ups take an id that waits for one without a row, and what waits needs no memory but its entry.
#pragma once

#include <cstdint>

namespace lime {

inline constexpr int64_t no_place = -1;

constexpr bool is_row(int64_t place) { return place >= 0; }
// steps and idle: 0..255
constexpr int64_t waiting_place(int64_t steps, int64_t idle) { return no_place - (idle << 8 | steps); }
// Of a place that is no row.
constexpr int64_t steps_of(int64_t place) { return (no_place - place) & 255; }
constexpr int64_t idle_runs_of(int64_t place) { return (no_place - place) >> 8; }
// Whether the id of such a place gets its row with the next gradient.
constexpr bool is_admitted(int64_t place, int64_t admit_after) { return steps_of(place) + 1 >= admit_after; }

}  // namespace lime
