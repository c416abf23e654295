#include "embeddings/exchange.h"

#include <algorithm>
#include <utility>

#include "embeddings/row_type.h"
#include "runtime/error.h"

namespace lime {

void RequestLayout::build(std::span<const int64_t> counts, std::span<const int64_t> widths, int64_t own) {
  tables_ = static_cast<int64_t>(widths.size());
  count_.assign(counts.begin(), counts.end());
  first_id_.assign(1, 0);
  first_float_.assign(counts.size() + 1, 0);
  const size_t ranks = widths.empty() ? 0 : counts.size() / widths.size();
  ids_of_rank_.assign(ranks, 0);
  floats_of_rank_.assign(ranks, 0);
  int64_t floats = 0;
  const auto place_rows_of = [&](size_t rank) {
    for (size_t i = rank * widths.size(); i < (rank + 1) * widths.size(); ++i) {
      first_float_[i] = floats;
      floats += counts[i] * widths[i % widths.size()];
    }
  };
  for (size_t rank = 0; rank < ranks; ++rank) {
    for (size_t i = rank * widths.size(); i < (rank + 1) * widths.size(); ++i) {
      first_id_.push_back(first_id_.back() + counts[i]);
      ids_of_rank_[rank] += counts[i];
    }
    if (static_cast<int64_t>(rank) == own) continue;
    const int64_t before = floats;
    place_rows_of(rank);
    floats_of_rank_[rank] = floats - before;
  }
  if (own != none) place_rows_of(static_cast<size_t>(own));
  first_float_.back() = floats;
}

RowExchange::RowExchange(Communicator& comm, std::span<const TableConfig> tables) : comm_(comm.duplicate()) {
  for (const TableConfig& table : tables) {
    dims_.push_back(table.dim);
    widths_.push_back(row_floats(table));
  }
}

void RowExchange::wait(WorkPtr& work) {
  work->wait();
  work.reset();
}

template <typename T>
WorkPtr RowExchange::all_to_all(const T* send, std::span<const int64_t> send_counts, T* receive,
                                std::span<const int64_t> receive_counts) {
  int64_t sent = 0, received = 0;
  for (const int64_t n : send_counts) sent += n;
  for (const int64_t n : receive_counts) received += n;
  return comm_->all_to_all_v(ConstView(send, 1, sent), send_counts, View(receive, 1, received),
                             receive_counts);
}

void RowExchange::start(Requests& r) {
  LIME_CHECK(r.stage == Requests::Stage::idle, "requests started twice");
  r.rows.discard_and_reserve(r.asked.floats());
  if (alone()) {
    r.stage = Requests::Stage::ready;
    return;
  }
  r.sent_counts.assign(r.asked.counts().begin(), r.asked.counts().end());
  r.received_counts.assign(r.sent_counts.size(), 0);
  r.tables_of_rank.assign(static_cast<size_t>(ranks()), static_cast<int64_t>(dims_.size()));
  r.work = all_to_all(r.sent_counts.data(), r.tables_of_rank, r.received_counts.data(), r.tables_of_rank);
  r.stage = Requests::Stage::counts;
}

void RowExchange::advance(Requests& r) {
  if (r.stage != Requests::Stage::counts) return;
  wait(r.work);
  r.received.build(r.received_counts, widths_, rank());
  r.work =
      all_to_all<int64_t>(r.asked_ids.data(), r.asked.ids_of_rank(),
                          r.received_ids.discard_and_reserve(r.received.ids()), r.received.ids_of_rank());
  r.stage = Requests::Stage::ids;
}

void RowExchange::finish_ids(Requests& r) {
  advance(r);
  if (r.stage == Requests::Stage::ids) wait(r.work);
  r.stage = Requests::Stage::ready;
  if (!alone()) r.answers.discard_and_reserve(r.received.floats());
}

void RowExchange::exchange_rows(Requests& r) {
  if (alone()) return;
  r.work = all_to_all<float>(r.answers.data(), r.received.floats_of_rank(), r.rows.data(),
                             r.asked.floats_of_rank());
  wait(r.work);
}

namespace {

// Which rows of a layout have a gradient, as one bit an id, each rank's bits in words of their own.
int64_t words_for(int64_t ids) { return (ids + 63) / 64; }

bool bit(const int64_t* words, int64_t i) {
  return (static_cast<uint64_t>(words[i / 64]) >> (i % 64) & 1) != 0;
}
void set_bit(int64_t* words, int64_t i) {
  words[i / 64] = static_cast<int64_t>(static_cast<uint64_t>(words[i / 64]) | uint64_t{1} << (i % 64));
}

// f(rank, dim, index of the id in the layout, its word array, its bit) for every id of the layout.
template <typename F>
void for_each_id(const RequestLayout& layout, std::span<const int64_t> dims,
                 std::span<const int64_t> words_of_rank, int64_t* words, F f) {
  int64_t id = 0;
  for (size_t rank = 0; rank < words_of_rank.size(); ++rank) {
    int64_t within = 0;
    for (size_t table = 0; table < dims.size(); ++table) {
      const int64_t count = layout.count(static_cast<int64_t>(rank), static_cast<int64_t>(table));
      for (int64_t i = 0; i < count; ++i) f(rank, dims[table], id++, words, within++);
    }
    words += words_of_rank[rank];
  }
}

// Of the gradients of all ids of the layout.
int64_t gradient_floats(const RequestLayout& layout, std::span<const int64_t> dims) {
  int64_t floats = 0;
  for (size_t i = 0; i < layout.counts().size(); ++i) floats += layout.counts()[i] * dims[i % dims.size()];
  return floats;
}

int64_t count_words(const RequestLayout& layout, std::vector<int64_t>& words_of_rank) {
  words_of_rank.clear();
  int64_t words = 0;
  for (const int64_t ids : layout.ids_of_rank()) {
    words_of_rank.push_back(words_for(ids));
    words += words_of_rank.back();
  }
  return words;
}

}  // namespace

void RowExchange::exchange_gradients(Requests& r, std::span<float* const> parts,
                                     std::span<float*> received_parts) {
  if (alone()) {
    std::copy(parts.begin(), parts.end(), received_parts.begin());
    return;
  }
  // This rank's own stay where they are.
  const auto own = static_cast<size_t>(rank());
  if (!dims_.empty()) {
    const auto mine = parts.subspan(static_cast<size_t>(r.asked.first_id(rank(), 0)),
                                    static_cast<size_t>(r.asked.ids_of_rank()[own]));
    std::copy(mine.begin(), mine.end(), received_parts.begin() + r.received.first_id(rank(), 0));
  }
  sent_bits_.assign(static_cast<size_t>(count_words(r.asked, sent_words_)), 0);
  received_bits_.resize(static_cast<size_t>(count_words(r.received, received_words_)));
  sent_floats_.assign(sent_words_.size(), 0);
  for_each_id(r.asked, dims_, sent_words_, sent_bits_.data(),
              [&](size_t rank, int64_t dim, int64_t id, int64_t* words, int64_t i) {
                if (rank == own || !parts[static_cast<size_t>(id)]) return;
                set_bit(words, i);
                sent_floats_[rank] += dim;
              });
  WorkPtr bits = all_to_all(sent_bits_.data(), sent_words_, received_bits_.data(), received_words_);

  // The rows are packed while the bits travel.
  float* to = r.sent_gradients.discard_and_reserve(gradient_floats(r.asked, dims_));
  for_each_id(r.asked, dims_, sent_words_, sent_bits_.data(),
              [&](size_t rank, int64_t dim, int64_t id, int64_t*, int64_t) {
                if (rank == own) return;
                if (const float* part = parts[static_cast<size_t>(id)]) to = std::copy_n(part, dim, to);
              });
  wait(bits);

  received_floats_.assign(received_words_.size(), 0);
  float* from = r.received_gradients.discard_and_reserve(gradient_floats(r.received, dims_));
  for_each_id(r.received, dims_, received_words_, received_bits_.data(),
              [&](size_t rank, int64_t dim, int64_t id, const int64_t* words, int64_t i) {
                if (rank == own) return;
                const bool present = bit(words, i);
                received_parts[static_cast<size_t>(id)] = present ? from : nullptr;
                if (!present) return;
                received_floats_[rank] += dim;
                from += dim;
              });
  WorkPtr rows =
      all_to_all<float>(r.sent_gradients.data(), sent_floats_, r.received_gradients.data(), received_floats_);
  wait(rows);
}

}  // namespace lime
