// RowExchange: what ranks ask of each other in a step, for all tables in one message a rank. Internal to
// embeddings/.
//
//   ids        a rank's distinct ids to their owners
//   rows       the owners' answers, one row an id
//   gradients  row gradients back to the owners, only of rows that have one
//
// On one rank nothing is copied: what is asked is what is received.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "embeddings/buffer.h"
#include "embeddings/embedding_collection.h"
#include "parallel/communicator.h"

namespace lime {

// How ids and rows lie in a message buffer: by rank, within it by table.
class RequestLayout {
 public:
  // counts[rank * tables + table] ids; widths[table]: floats that a row takes the place of. Rows of `own`, a
  // rank, are not sent: they count for nothing in floats_of_rank and have their places behind all others.
  static constexpr int64_t none = -1;
  void build(std::span<const int64_t> counts, std::span<const int64_t> widths, int64_t own = none);

  int64_t count(int64_t rank, int64_t table) const { return count_[at(rank, table)]; }
  int64_t first_id(int64_t rank, int64_t table) const { return first_id_[at(rank, table)]; }
  int64_t first_float(int64_t rank, int64_t table) const { return first_float_[at(rank, table)]; }
  int64_t ids() const { return first_id_.back(); }
  int64_t floats() const { return first_float_.back(); }
  std::span<const int64_t> counts() const { return count_; }
  std::span<const int64_t> ids_of_rank() const { return ids_of_rank_; }
  std::span<const int64_t> floats_of_rank() const { return floats_of_rank_; }

 private:
  size_t at(int64_t rank, int64_t table) const { return static_cast<size_t>(rank * tables_ + table); }
  int64_t tables_ = 0;
  std::vector<int64_t> count_, first_id_, first_float_;  // [ranks * tables], the latter two with the end
  std::vector<int64_t> ids_of_rank_, floats_of_rank_;    // [ranks]
};

// One step's messages.
struct Requests {
  // Of each owner, by this rank: built, and asked_ids filled, by the caller before start().
  RequestLayout asked;
  Buffer<int64_t> asked_ids;
  Buffer<float> rows;  // the asked ids' rows, of their tables' types, after exchange_rows()

  // Where there are other ranks:
  RequestLayout received;  // by each rank, of this owner
  Buffer<int64_t> received_ids;
  Buffer<float> answers, sent_gradients, received_gradients;
  std::vector<int64_t> sent_counts, received_counts, tables_of_rank;
  enum class Stage : uint8_t { idle, counts, ids, ready } stage = Stage::idle;
  WorkPtr work;
};

class RowExchange {
 public:
  // Collective: duplicates the communicator.
  RowExchange(Communicator&, std::span<const TableConfig> tables);

  int rank() const { return comm_->rank(); }
  int ranks() const { return comm_->size(); }
  bool alone() const { return ranks() == 1; }
  Communicator& communicator() { return *comm_; }
  std::span<const int64_t> dims() const { return dims_; }      // of a row gradient, by table
  std::span<const int64_t> widths() const { return widths_; }  // of a row, in floats' places (row_floats)

  // Sends how much is asked, then (advance, or else finish_ids) the ids. Neither waits for what the other
  // ranks have not sent at the call before. All ranks make all calls in the same order.
  void start(Requests&);
  void advance(Requests&);
  void finish_ids(Requests&);

  const RequestLayout& received(const Requests& r) const { return alone() ? r.asked : r.received; }
  const int64_t* received_ids(const Requests& r) const {
    return alone() ? r.asked_ids.data() : r.received_ids.data();
  }
  // Where the caller writes the answers, and where this rank's rows are after exchange_rows.
  float* answers(Requests& r) { return alone() ? r.rows.data() : r.answers.data(); }

  void exchange_rows(Requests&);

  // parts[i]: gradient of the i-th asked id's row, or null. received_parts[j]: the same for the j-th received
  // id, valid until the next call with these requests.
  void exchange_gradients(Requests&, std::span<float* const> parts, std::span<float*> received_parts);

 private:
  static void wait(WorkPtr&);
  template <typename T>
  WorkPtr all_to_all(const T* send, std::span<const int64_t> send_counts, T* receive,
                     std::span<const int64_t> receive_counts);

  std::unique_ptr<Communicator> comm_;
  std::vector<int64_t> dims_, widths_;
  // Scratch of exchange_gradients.
  std::vector<int64_t> sent_words_, received_words_, sent_floats_, received_floats_;
  std::vector<int64_t> sent_bits_, received_bits_;
};

}  // namespace lime
