#include "embeddings/row_counts.h"

#include <algorithm>
#include <utility>

namespace lime {
namespace {
constexpr size_t most_coming = 4;  // updates that the host is ahead of the device, without waiting
}

RowCounts::RowCounts(Context& ctx, int64_t counts)
    : ctx_(ctx), staging_(ctx.device()), known_(static_cast<size_t>(counts), 0) {
  const size_t bytes = known_.size() * sizeof(int64_t);
  ctx_.stream().zero(counts_.discard_and_reserve(ctx.device(), std::max<int64_t>(counts, 1)), bytes,
                     {1, bytes});
}

RowCounts::~RowCounts() {
  try {
    exact();
  } catch (const Error&) {  // the device failed: nothing is under way, and whoever used it has been told
  }
}

void RowCounts::take_oldest() {
  Coming oldest = std::move(coming_.front());
  coming_.pop_front();
  oldest.arrived->synchronize();
  std::copy_n(static_cast<const int64_t*>(oldest.counts->memory.data()), known_.size(), known_.begin());
  staging_.give_back(std::move(oldest.counts), ctx_.stream());
  spare_.push_back(std::move(oldest.arrived));
}

std::vector<int64_t> RowCounts::at_most() {
  while (!coming_.empty() && (coming_.size() > most_coming || coming_.front().arrived->reached()))
    take_oldest();
  std::vector<int64_t> rows = known_;
  for (const Coming& update : coming_)
    for (size_t t = 0; t < rows.size(); ++t) rows[t] += update.added[t];
  return rows;
}

const std::vector<int64_t>& RowCounts::exact() {
  while (!coming_.empty()) take_oldest();
  return known_;
}

void RowCounts::added(std::vector<int64_t> at_most) {
  const size_t bytes = known_.size() * sizeof(int64_t);
  if (spare_.empty()) spare_.push_back(std::make_unique<cuda::Event>(ctx_.device().index));
  Coming coming{std::move(at_most), staging_.take(bytes), std::move(spare_.back())};
  spare_.pop_back();
  ctx_.stream().to_host(counts_.data(), bytes, coming.counts->memory.data(), bytes, {1, bytes});
  coming.arrived->record(ctx_.stream());
  coming_.push_back(std::move(coming));
}

void RowCounts::add(int64_t which, int64_t number) {
  exact();
  int64_t& count = known_[static_cast<size_t>(which)];
  count += number;
  ctx_.stream().to_device(&count, sizeof count, counts_.data() + which, sizeof count, {1, sizeof count});
}

}  // namespace lime
