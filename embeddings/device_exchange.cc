#include "embeddings/device_exchange.h"

#include <algorithm>
#include <utility>

#include "embeddings/device_lookup.h"

namespace lime {
namespace {

constexpr int64_t range_words = sizeof(IdRange) / sizeof(int64_t);

}  // namespace

DeviceRowExchange::DeviceRowExchange(Context& ctx, Communicator& host, Communicator& on_device, Widths widths)
    : ctx_(ctx),
      host_(host.duplicate()),
      on_device_(on_device),
      widths_(std::move(widths)),
      staging_(ctx.device()) {
  const size_t bytes = static_cast<size_t>(tables()) * sizeof(int64_t);
  ctx_.stream().zero(capacities_.discard_and_reserve(ctx_.device(), tables()), bytes, {1, bytes});
}

template <typename T>
WorkPtr DeviceRowExchange::all_to_all(const T* send, std::span<const int64_t> send_counts, T* receive,
                                      std::span<const int64_t> receive_counts) {
  const auto view = [&](const T* data, std::span<const int64_t> counts) {
    int64_t all = 0;
    for (const int64_t n : counts) all += n;
    return View(const_cast<T*>(data), dtype_of<T>(), ctx_.device(), 1, all, all);
  };
  return on_device_.all_to_all_v(view(send, send_counts), send_counts, view(receive, receive_counts),
                                 receive_counts);
}

// How many ids of each table every rank asks of every other, and how many bits ids have.
void DeviceRowExchange::exchange_counts(DeviceLookup& lookup) {
  DeviceRequests& r = *lookup.requests;
  const int64_t of_rank = tables() + 1;
  std::vector<int64_t> sent, received(static_cast<size_t>(of_rank * ranks())), asked, got;
  for (int rank = 0; rank < ranks(); ++rank) {
    for (int64_t t = 0; t < tables(); ++t) {
      const int64_t pair = t * ranks() + rank;
      asked.push_back(lookup.begin(pair + 1) - lookup.begin(pair));
      sent.push_back(asked.back());
    }
    sent.push_back(lookup.id_bits());
  }
  const std::vector<int64_t> counts(static_cast<size_t>(ranks()), of_rank);
  host_
      ->all_to_all_v(ConstView(sent.data(), 1, of_rank * ranks()), counts,
                     View(received.data(), 1, of_rank * ranks()), counts)
      ->wait();
  r.id_bits = 0;
  for (size_t i = 0; i < received.size(); ++i) {
    if (static_cast<int64_t>(i) % of_rank < tables()) {
      got.push_back(received[i]);
    } else {
      r.id_bits = std::max(r.id_bits, static_cast<int>(received[i]));
    }
  }
  r.asked.build(asked, widths_.gradients);
  r.received.build(got, widths_.gradients);
  r.asked_rows.build(asked, widths_.rows);
  r.received_rows.build(got, widths_.rows);
}

// asked: first ids, rows and gradients by pair; received: first gradients by range, ranges.
void DeviceRowExchange::send_places(DeviceRequests& r) {
  const int64_t words = 4 * pairs() + (pairs() + 1) * range_words;
  auto block = staging_.take(static_cast<size_t>(words) * sizeof(int64_t));
  int64_t* const host = block->memory.as<int64_t>().data();
  int64_t* at = host;
  for (int64_t t = 0; t < tables(); ++t)
    for (int rank = 0; rank < ranks(); ++rank) *at++ = r.asked.first_id(rank, t);
  for (const RequestLayout* layout : {&r.asked_rows, &r.asked})
    for (int64_t t = 0; t < tables(); ++t)
      for (int rank = 0; rank < ranks(); ++rank) *at++ = layout->first_float(rank, t);
  for (int rank = 0; rank < ranks(); ++rank)
    for (int64_t t = 0; t < tables(); ++t) *at++ = r.received.first_float(rank, t);
  auto* range = reinterpret_cast<IdRange*>(at);
  for (int rank = 0; rank < ranks(); ++rank)
    for (int64_t t = 0; t < tables(); ++t)
      *range++ = {r.received.first_id(rank, t), static_cast<int32_t>(t), rank};
  *range = {r.received.ids(), 0, 0};
  const size_t bytes = static_cast<size_t>(words) * sizeof(int64_t);
  ctx_.stream().to_device(host, bytes, r.places.discard_and_reserve(ctx_.device(), words), bytes, {1, bytes});
  staging_.give_back(std::move(block), ctx_.stream());
}

RequestPlaces DeviceRowExchange::places(const DeviceRequests& r) const {
  const int64_t* at = r.places.data();
  return {at, at + pairs(), at + 2 * pairs(), reinterpret_cast<const IdRange*>(at + 4 * pairs()),
          at + 3 * pairs()};
}

void DeviceRowExchange::send_ids(DeviceLookup& lookup) {
  DeviceRequests& r = *lookup.requests;
  if (r.stage != DeviceRequests::Stage::begun) return;
  lookup.wait_for_ids();
  exchange_counts(lookup);
  send_places(r);
  int64_t* asked = r.asked_ids.discard_and_reserve(ctx_.device(), r.asked.ids());
  cuda::place_ids(ctx_, view_of(lookup.wanted, tables(), ranks(), lookup.distinct()), places(r), asked);
  r.work = all_to_all<int64_t>(asked, r.asked.ids_of_rank(),
                               r.received_ids.discard_and_reserve(ctx_.device(), r.received.ids()),
                               r.received.ids_of_rank());
  r.stage = DeviceRequests::Stage::ids;
}

void DeviceRowExchange::receive_ids(DeviceLookup& lookup) {
  send_ids(lookup);
  DeviceRequests& r = *lookup.requests;
  r.work->wait();
  r.work.reset();
  r.stage = DeviceRequests::Stage::ready;
  cuda::find_distinct(ctx_,
                      {.ids = r.received_ids.data(),
                       .count = r.received.ids(),
                       .ranges = places(r).received,
                       .range_count = pairs(),
                       .capacities = capacities_.data(),
                       .tables = tables(),
                       .id_bits = r.id_bits,
                       .owners = 1,
                       .by_id = false},
                      r.owned);
}

void DeviceRowExchange::exchange_rows(DeviceLookup& lookup, const TableOnDevice* tables_on_device) {
  DeviceRequests& r = *lookup.requests;
  const float* rows = r.rows.discard_and_reserve(ctx_.device(), r.asked_rows.floats());
  all_to_all<float>(r.answers.data(), r.received_rows.floats_of_rank(), r.rows.data(),
                    r.asked_rows.floats_of_rank())
      ->wait();
  cuda::place_rows(ctx_, view_of(lookup.wanted, tables(), ranks(), lookup.distinct()), tables_on_device,
                   places(r), rows, lookup.address.discard_and_reserve(ctx_.device(), lookup.distinct()));
}

void DeviceRowExchange::exchange_gradients(DeviceLookup& lookup, const TableOnDevice* tables_on_device) {
  DeviceRequests& r = *lookup.requests;
  const Device device = ctx_.device();
  float* sent = r.sent_gradients.discard_and_reserve(device, r.asked.floats());
  float* sent_present = r.sent_present.discard_and_reserve(device, r.asked.ids());
  cuda::pack_totals(ctx_, view_of(lookup.wanted, tables(), ranks(), lookup.distinct()), tables_on_device,
                    *std::max_element(widths_.gradients.begin(), widths_.gradients.end()), places(r),
                    lookup.total.data(), sent, sent_present);
  float* received = r.received_gradients.discard_and_reserve(device, r.received.floats());
  float* present = r.received_present.discard_and_reserve(device, r.received.ids());
  const WorkPtr flags =
      all_to_all<float>(sent_present, r.asked.ids_of_rank(), present, r.received.ids_of_rank());
  const WorkPtr rows =
      all_to_all<float>(sent, r.asked.floats_of_rank(), received, r.received.floats_of_rank());
  flags->wait();
  rows->wait();
  cuda::received_parts(ctx_, view_of(r.owned, tables(), 1, r.received.ids()), tables_on_device, places(r),
                       received, present, r.part.discard_and_reserve(device, r.received.ids()));
}

}  // namespace lime
