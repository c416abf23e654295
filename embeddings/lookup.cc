#include "embeddings/lookup.h"

#include <algorithm>
#include <cstring>

#include "embeddings/ordered_sum.h"
#include "embeddings/row_type.h"

namespace lime {

FeatureSlots HostLookup::slots_of(int64_t micro_batch, int64_t index) const {
  const FeatureIds& ids = feature(micro_batch, index);
  const int64_t first = first_occurrence[static_cast<size_t>(micro_batch)][static_cast<size_t>(index)];
  return {occurrences.data() + first, ids.offsets, rows_of(ids), ids.pooling};
}

namespace {

// Distinct ids of each table, and each occurrence's slot.
void find_distinct(HostLookup& state, Dedup& dedup, std::span<const TableShard> shards) {
  int64_t occurrences = 0;
  state.first_occurrence.resize(state.features.size());
  for (size_t m = 0; m < state.features.size(); ++m) {
    state.first_occurrence[m].clear();
    for (const FeatureIds& f : state.features[m]) {
      state.first_occurrence[m].push_back(occurrences);
      occurrences += static_cast<int64_t>(f.ids.size());
    }
  }
  state.occurrences.reserve(occurrences, 0);
  for (size_t t = 0; t < shards.size(); ++t) {
    const TableShard& shard = shards[t];
    DistinctIds& wanted = state.tables[t].wanted;
    dedup.begin(wanted, wanted.size);
    for (size_t m = 0; m < state.features.size(); ++m) {
      dedup.begin_leaf(static_cast<int32_t>(m));
      for (size_t f = 0; f < state.features[m].size(); ++f) {
        const FeatureIds& ids = state.features[m][f];
        if (ids.table != static_cast<int64_t>(t)) continue;
        dedup.add(
            ids.ids, [&shard](int64_t id) { return shard.fold(id); },
            state.occurrences.data() + state.first_occurrence[m][f]);
      }
    }
  }
}

}  // namespace

void collect_ids(HostLookup& state, Dedup& dedup, std::span<const TableShard> shards,
                 const RowExchange& exchange) {
  state.tables.resize(shards.size());
  find_distinct(state, dedup, shards);
  const int ranks = exchange.ranks();
  const size_t tables = shards.size();
  std::vector<int64_t> counts(static_cast<size_t>(ranks) * tables);
  const auto place = [&](int64_t id, size_t t) {
    return static_cast<size_t>(ranks == 1 ? 0 : owner_of(bucket_of(id), ranks)) * tables + t;
  };
  for (size_t t = 0; t < tables; ++t) {
    const DistinctIds& wanted = state.tables[t].wanted;
    for (int32_t u = 0; u < wanted.size; ++u) ++counts[place(wanted.ids[u], t)];
  }
  Requests& requests = state.requests;
  requests.asked.build(counts, exchange.widths(), exchange.rank());
  requests.asked_ids.discard_and_reserve(requests.asked.ids());

  std::vector<int64_t> filled(counts.size());
  for (size_t t = 0; t < tables; ++t) {
    TableLookup& table = state.tables[t];
    const DistinctIds& wanted = table.wanted;
    const int64_t width = row_floats(shards[t].config());
    int64_t* asked = table.asked.discard_and_reserve(wanted.size);
    int64_t* row_at = table.row_at.discard_and_reserve(wanted.size);
    for (int32_t u = 0; u < wanted.size; ++u) {
      const size_t at = place(wanted.ids[u], t);
      const auto rank = static_cast<int64_t>(at / tables), which = static_cast<int64_t>(t);
      const int64_t index = filled[at]++;
      asked[u] = requests.asked.first_id(rank, which) + index;
      requests.asked_ids[asked[u]] = wanted.ids[u];
      row_at[u] = requests.asked.first_float(rank, which) + index * width;
    }
  }
}

namespace {

void find_owned(TableLookup& table, Dedup& dedup, const Requests& requests, const RowExchange& exchange,
                int64_t t) {
  const RequestLayout& received = exchange.received(requests);
  const int64_t* ids = exchange.received_ids(requests);
  const auto of_rank = [&](int rank) {
    return std::span(ids + received.first_id(rank, t), static_cast<size_t>(received.count(rank, t)));
  };
  if (exchange.alone()) return Dedup::add_distinct(table.owned, of_rank(0));
  dedup.begin(table.owned, table.owned.size);
  Buffer<int32_t> slots;  // each rank's ids are distinct: slots count up, nobody needs to be told
  for (int rank = 0; rank < exchange.ranks(); ++rank) {
    dedup.begin_leaf(rank);
    const auto of = of_rank(rank);
    dedup.add(
        of, [](int64_t id) { return id; }, slots.discard_and_reserve(static_cast<int64_t>(of.size())));
  }
}

constexpr int32_t ahead = 12;  // rows whose memory is on its way while one is copied

void find_rows(const DistinctIds& owned, const IdMap& map, int64_t* rows) {
  for (int32_t u = 0; u < owned.size; ++u) {
    if (u + ahead < owned.size) map.prefetch(owned.ids[u + ahead]);
    rows[u] = map.find(owned.ids[u]);
  }
}

}  // namespace

void answer_requests(HostLookup& state, Dedup& dedup, std::span<const TableShard> shards,
                     RowExchange& exchange) {
  Requests& requests = state.requests;
  const RequestLayout& received = exchange.received(requests);
  float* answers = exchange.answers(requests);
  for (size_t t = 0; t < shards.size(); ++t) {
    TableLookup& table = state.tables[t];
    const TableShard& shard = shards[t];
    const int64_t width = row_floats(shard.config()), which = static_cast<int64_t>(t);
    const auto row_bytes = static_cast<size_t>(shard.values().row_bytes());
    find_owned(table, dedup, requests, exchange, which);
    int64_t* rows = table.shard_row.discard_and_reserve(table.owned.size);
    int64_t* answer = table.answer.discard_and_reserve(table.owned.size);
    find_rows(table.owned, shard.ids(), rows);
    int32_t slot = 0;
    for (int rank = 0; rank < exchange.ranks(); ++rank) {
      const bool copied = rank != exchange.rank();  // gather reads a rank's own rows where they are
      int64_t at = received.first_float(rank, which);
      for (int64_t i = received.count(rank, which); i > 0; --i, ++slot, at += width) {
        if (const int32_t next = slot + ahead; copied && next < table.owned.slots) {
          if (const int64_t row = rows[table.owned.unique_of_slot[next]]; is_row(row))
            shard.values().prefetch(row);
        }
        const int32_t u = table.owned.unique_of_slot[slot];
        const bool first = table.owned.first_slot[u] == slot;
        if (first) answer[u] = at;
        if (is_row(rows[u])) {
          if (copied) std::memcpy(answers + at, shard.values().row(rows[u]), row_bytes);
        } else if (first) {
          shard.initial_row(table.owned.ids[u], answers + at);
        } else {
          std::memcpy(answers + at, answers + answer[u], row_bytes);
        }
      }
    }
  }
}

void place_rows(HostLookup& state, std::span<const TableShard> shards, RowExchange& exchange) {
  const RequestLayout &asked = state.requests.asked, &received = exchange.received(state.requests);
  const float *rows = state.requests.rows.data(), *answers = exchange.answers(state.requests);
  const int own = exchange.rank();
  for (size_t t = 0; t < shards.size(); ++t) {
    TableLookup& table = state.tables[t];
    const DistinctIds& wanted = table.wanted;
    const auto which = static_cast<int64_t>(t);
    const int64_t width = row_floats(shards[t].config()), own_count = asked.count(own, which);
    int64_t own_slot = 0;  // slots of owned ids are by rank, then in the order received, which is that asked
    for (int rank = 0; rank < own; ++rank) own_slot += received.count(rank, which);
    const void** row_of_slot = table.row_of_slot.discard_and_reserve(wanted.slots);
    for (int32_t u = 0; u < wanted.size; ++u) {
      const void* row = rows + table.row_at[u];
      const int64_t index = table.asked[u] - asked.first_id(own, which);
      if (index >= 0 && index < own_count) {
        const int64_t shard_row = table.shard_row[table.owned.unique_of_slot[own_slot + index]];
        row = is_row(shard_row) ? shards[t].values().row(shard_row)
                                : answers + received.first_float(own, which) + index * width;
      }
      for (int32_t s = wanted.first_slot[u]; s != DistinctIds::none; s = wanted.next_slot[s])
        row_of_slot[s] = row;
    }
  }
}

void reduce_gradients(HostLookup& state, RowExchange& exchange) {
  const Requests& requests = state.requests;
  const RequestLayout& received = exchange.received(requests);
  const auto dims = exchange.dims();
  state.parts.resize(static_cast<size_t>(requests.asked.ids()));
  state.received_parts.resize(static_cast<size_t>(received.ids()));
  for (size_t t = 0; t < state.tables.size(); ++t) {
    TableLookup& table = state.tables[t];
    const int64_t dim = dims[t];
    for (int32_t u = 0; u < table.wanted.size; ++u) {
      state.parts[static_cast<size_t>(table.asked[u])] = ordered_sum(table.wanted, u, dim, [&](int32_t slot) {
        return table.present[slot] ? table.gradients.data() + slot * dim : nullptr;
      });
    }
  }
  exchange.exchange_gradients(state.requests, state.parts, state.received_parts);
  for (size_t t = 0; t < state.tables.size(); ++t) {
    TableLookup& table = state.tables[t];
    // Slots were numbered as the ids came: by rank, then in the order received.
    table.slot_part.clear();
    for (int rank = 0; rank < exchange.ranks(); ++rank) {
      const auto first = state.received_parts.begin() + received.first_id(rank, static_cast<int64_t>(t));
      table.slot_part.insert(table.slot_part.end(), first,
                             first + received.count(rank, static_cast<int64_t>(t)));
    }
    float** total = table.total.discard_and_reserve(table.owned.size);
    for (int32_t u = 0; u < table.owned.size; ++u) {
      total[u] = ordered_sum(table.owned, u, dims[t],
                             [&](int32_t slot) { return table.slot_part[static_cast<size_t>(slot)]; });
    }
  }
}

}  // namespace lime
