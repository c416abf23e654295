#include "io/shard_stream.h"

#include <algorithm>
#include <numeric>

#include "io/part_files.h"
#include "runtime/error.h"
#include "runtime/philox.h"
#include "runtime/shuffle.h"

namespace lime {
RequestWindow::RequestWindow(const Hdf5File& file, const ReadPlan& plan, const BatchSpec& spec,
                             const ItemTable& items, const EventsPart& events, int64_t first_row,
                             int64_t last, int64_t requests, int64_t candidates)
    : first(first_row) {
  user = load_integers(file, "/request/user", first, last, requests);
  time = load_integers(file, "/request/time", first, last, requests);
  history_end = load_integers(file, "/request/history_end", first, last, requests);
  for (size_t i = 0; i < user.size(); ++i) {
    const int64_t row = first + static_cast<int64_t>(i);
    if (user[i] < 0 || user[i] >= events.users())
      throw UserError(str(file.path(), ": /request/user: row ", row, ": found ", user[i],
                          ", expected a row of ", events.path, "'s ", events.users(), " users"));
    const auto u = static_cast<size_t>(user[i]);
    const int64_t own = events.user_offsets[u + 1] - events.user_offsets[u];
    if (history_end[i] < 0 || history_end[i] > own)
      throw UserError(str(file.path(), ": /request/history_end: row ", row, ": found ", history_end[i],
                          ", expected 0 to ", own, ", the number of the user's events"));
    history_end[i] += events.user_offsets[u];
  }
  for (const auto& column : plan.request_columns)
    request_columns.push_back(load_column(file, "/request", column, first, last, requests));

  candidate_offsets = load_integers(file, "/candidate/offsets", first, last + 1, requests + 1);
  check_offsets(file, "/candidate/offsets", candidate_offsets, 0, candidates);
  const int64_t begin = candidate_offsets.front(), end = candidate_offsets.back();
  first_candidate = begin;
  for (auto& offset : candidate_offsets) offset -= begin;
  item = load_integers(file, "/candidate/item", begin, end, candidates);
  for (const auto& column : plan.candidate_columns)
    candidate_columns.push_back(load_column(file, "/candidate", column, begin, end, candidates));
  if (plan.candidate_item_row) {
    item_row.resize(item.size());
    items.rows_of(item, item_row.data());
  }
  for (const auto& task : spec.tasks)
    labels.push_back(load_reals(file, "/label/" + task, begin, end, candidates));
  for (const auto& name : spec.sample_weights)
    sample_weights.push_back(name.empty() ? std::vector<float>()
                                          : load_reals(file, "/weight/" + name, begin, end, candidates));
  if (!spec.metric_weight.empty())
    metric_weight = load_reals(file, "/weight/" + spec.metric_weight, begin, end, candidates);
}

void RequestWindow::keep(const KeptCandidates& kept) {
  const auto& rows = kept.rows;
  keep_rows_of_segments(candidate_offsets, rows);
  keep_rows(item, rows);
  if (!item_row.empty()) keep_rows(item_row, rows);
  for (auto& column : candidate_columns) keep_rows(column, rows);
  for (auto* columns : {&labels, &sample_weights})
    for (auto& column : *columns)
      if (!column.empty()) keep_rows(column, rows);
  if (!metric_weight.empty()) keep_rows(metric_weight, rows);
  importance = kept.importance;
}

int64_t RequestWindow::bytes() const {
  size_t bytes = 8 * (user.capacity() + time.capacity() + history_end.capacity() +
                      candidate_offsets.capacity() + item.capacity()) +
                 4 * (item_row.capacity() + metric_weight.capacity() + importance.capacity());
  for (const auto* columns : {&labels, &sample_weights})
    for (const auto& column : *columns) bytes += 4 * column.capacity();
  return static_cast<int64_t>(bytes) + bytes_of(request_columns) + bytes_of(candidate_columns);
}

ShardStream::ShardStream(const Dataset& dataset, const ReaderOptions& options, const ReadPlan& plan,
                         const ItemTable& items, PartCache& cache, int64_t shard)
    : dataset_(dataset), options_(options), plan_(plan), items_(items), cache_(cache) {
  position_ = {shard, options.epoch, 0, 0};
  const auto epoch = static_cast<uint64_t>(options.epoch);
  for (size_t d = 0; d < options.days.size(); ++d) {
    const auto& info = dataset.day(options.days[d]);
    std::vector<int64_t> parts;
    for (int64_t p = shard; p < dataset.parts(); p += options.virtual_shards) parts.push_back(p);
    const auto key = static_cast<uint64_t>(parse_day(info.day) * options.virtual_shards + shard);
    if (options.shuffle) shuffle(parts, Philox(options.seed, stream_of("io.parts", epoch, key)), 0);
    for (const int64_t p : parts) {
      const auto part = static_cast<size_t>(p);
      units_.push_back({static_cast<int64_t>(d), p, info.part_requests[part], info.part_candidates[part]});
      begins_.push_back(begins_.back() + info.part_requests[part]);
    }
  }
  skip_empty_units();
}

void ShardStream::skip_empty_units() {
  while (!dry() && position_.request >= units_[static_cast<size_t>(position_.unit)].requests) {
    ++position_.unit;
    position_.request = 0;
  }
}

void ShardStream::seek(const ShardPosition& position) {
  const auto units = static_cast<int64_t>(units_.size());
  const bool known =
      position.shard == position_.shard && position.epoch == options_.epoch && position.unit >= 0 &&
      position.unit <= units && position.request >= 0 &&
      position.request <= (position.unit < units ? units_[static_cast<size_t>(position.unit)].requests : 0);
  if (!known)
    throw UserError(str(dataset_.directory(), ": cannot continue at epoch ", position.epoch, ", shard ",
                        position.shard, ", unit ", position.unit, ", request ", position.request,
                        ": the days, or the dataset, differ"));
  position_ = position;
  skip_empty_units();
}

Philox ShardStream::random(std::string_view purpose) const {
  const auto& unit = units_[static_cast<size_t>(unit_)];
  const int64_t day = parse_day(options_.days[static_cast<size_t>(unit.day)]);
  const auto key = static_cast<uint64_t>(day * dataset_.parts() + unit.part);
  return Philox(options_.seed, stream_of(purpose, static_cast<uint64_t>(options_.epoch), key));
}

void ShardStream::shuffle_window(int64_t first, int64_t size) {
  order_.resize(static_cast<size_t>(size));
  std::iota(order_.begin(), order_.end(), 0);
  if (options_.shuffle) shuffle(order_, random("io.requests"), first);
}

void ShardStream::sample_negatives() {
  const auto& spec = options_.spec;
  std::vector<std::span<const float>> labels;
  for (size_t t = 0; t < window_->labels.size(); ++t)
    if (t >= spec.task_weights.size() || spec.task_weights[t] > 0) labels.emplace_back(window_->labels[t]);
  window_->keep(lime::sample_negatives(labels, window_->first_candidate, window_->candidate_offsets.back(),
                                       options_.keep_negatives, random("io.negatives")));
}

void ShardStream::open() {
  LIME_CHECK(!dry(), "shard ", position_.shard, " has run dry");
  const auto& unit = units_[static_cast<size_t>(position_.unit)];
  const int64_t first = position_.request / options_.shuffle_window * options_.shuffle_window;
  if (unit_ == position_.unit && window_ && window_->first == first) return;
  window_.reset();
  if (unit_ != position_.unit) {
    unit_ = position_.unit;
    file_.reset();
    events_.reset();  // so that the cache may let go of it
    events_ = cache_.get(unit.part);
    file_ = std::make_unique<Hdf5File>(
        dataset_.day_path(options_.days[static_cast<size_t>(unit.day)], unit.part), Hdf5File::Mode::read);
    check_part_file(*file_, "day");
  }
  const int64_t last = std::min(first + options_.shuffle_window, unit.requests);
  window_ = std::make_unique<RequestWindow>(*file_, plan_, options_.spec, items_, *events_, first, last,
                                            unit.requests, unit.candidates);
  if (options_.keep_negatives < 1) sample_negatives();
  shuffle_window(first, last - first);
  window_tokens_ = 0;
  for (int64_t i = 0; i < position_.request - first; ++i)
    window_tokens_ += history_length(order_[static_cast<size_t>(i)]);
}

std::span<const int32_t> ShardStream::upcoming() const {
  return std::span(order_).subspan(static_cast<size_t>(position_.request - window_->first));
}

std::vector<std::pair<std::string, int64_t>> ShardStream::units() const {
  std::vector<std::pair<std::string, int64_t>> units;
  for (const auto& unit : units_) units.emplace_back(options_.days[static_cast<size_t>(unit.day)], unit.part);
  return units;
}

int64_t ShardStream::history_length(int32_t row) const {
  const auto r = static_cast<size_t>(row);
  const int64_t begin = events_->user_offsets[static_cast<size_t>(window_->user[r])];
  return std::min(window_->history_end[r] - begin, options_.max_history);
}

ShardStream::InWindow ShardStream::in_window() const {
  return {unit_, window_->first / options_.shuffle_window, position_.request - window_->first,
          window_tokens_};
}

void ShardStream::advance(int64_t requests, int64_t tokens) {
  position_.request += requests;
  window_tokens_ += tokens;
  skip_empty_units();
}

}  // namespace lime
