#include "io/batch_assembler.h"

#include <algorithm>
#include <optional>

#include "io/feature_columns.h"
#include "runtime/error.h"

namespace lime {
namespace {

using From = FeatureSource::From;

}  // namespace

BatchAssembler::BatchAssembler(const ReaderOptions& options, const ReadPlan& plan, const ItemTable& items,
                               int64_t frozen_ms)
    : options_(options), plan_(plan), items_(items), frozen_ms_(frozen_ms) {}

BatchAssembler::Range BatchAssembler::history_of(const RequestWindow& window, const EventsPart& events,
                                                 int64_t row) const {
  if (options_.history_mode == HistoryMode::none) return {0, 0};
  const auto r = static_cast<size_t>(row);
  const auto before = [&](int64_t begin, int64_t end, int64_t time) {
    return std::lower_bound(events.time.begin() + begin, events.time.begin() + end, time) -
           events.time.begin();
  };
  const int64_t user = window.user[r];
  if (options_.history_mode == HistoryMode::stranger) {
    for (int64_t step = 1; step < events.users(); ++step) {
      const auto other = static_cast<size_t>((user + step) % events.users());
      const int64_t begin = events.user_offsets[other], end = events.user_offsets[other + 1];
      if (begin < end && events.time[static_cast<size_t>(begin)] < window.time[r])
        return {begin, before(begin, end, window.time[r])};
    }
    return {0, 0};
  }
  const int64_t begin = events.user_offsets[static_cast<size_t>(user)], end = window.history_end[r];
  return {begin, options_.history_mode == HistoryMode::frozen ? before(begin, end, frozen_ms_) : end};
}

// Where there are fewer rows than parts, requests take turns in which part has them.
BatchAssembler::Range BatchAssembler::part_of(Range all, int64_t number) const {
  const int64_t parts = options_.history_parts, rows = all.end - all.begin;
  const auto begin = [&](int64_t part) { return all.begin + (rows * part + number % parts) / parts; };
  return {begin(options_.history_part), begin(options_.history_part + 1)};
}

BatchAssembler::Range BatchAssembler::candidates_of(const RequestWindow& window,
                                                    const Request& request) const {
  const auto row = static_cast<size_t>(request.row);
  return part_of({window.candidate_offsets[row], window.candidate_offsets[row + 1]}, request.number);
}

bool BatchAssembler::is_left_out(const RequestWindow& window, int64_t row) const {
  const auto r = static_cast<size_t>(row);
  return options_.keep_negatives < 1 && window.candidate_offsets[r] == window.candidate_offsets[r + 1];
}

MicroBatch BatchAssembler::empty(int64_t shard) const {
  MicroBatch batch;
  batch.shard = shard;
  batch.history_offsets.push_back(0);
  batch.candidate_offsets.push_back(0);
  if (options_.history_parts > 1) batch.whole_offsets.push_back(0), batch.later_offsets.push_back(0);
  start_columns(plan_.history, batch.history);
  start_columns(plan_.candidate, batch.candidate);
  start_columns(plan_.user, batch.user);
  return batch;
}

MicroBatch BatchAssembler::next(ShardStream& stream, const BatchPlan& plan) const {
  MicroBatch batch = empty(stream.position().shard);
  if (stream.dry()) return batch;
  std::optional<BatchPlan::End> planned;
  std::vector<Request> requests;
  int64_t passed = 0, tokens = 0;  // requests and their events, with those that are left out
  for (bool full = false; !full && !stream.dry();) {
    stream.open();
    ShardStream::InWindow done = stream.in_window();
    const BatchPlan::WindowCost cost = plan.window(done.unit, done.window);
    if (!planned) planned = plan.next_end(stream.done(), cost.after(done.requests, done.tokens));
    requests.clear();
    const int64_t passed_before = passed, tokens_before = tokens;
    for (const int32_t row : stream.upcoming()) {
      auto [begin, end] = history_of(stream.window(), stream.events(), row);
      const bool truncated = end - begin > options_.max_history;
      if (truncated) begin = end - options_.max_history;
      full = passed == planned->requests ||
             (passed > 0 && (cost.middle(done.requests, done.tokens, end - begin) >= planned->cost ||
                             (plan.budget() > 0 && tokens + end - begin > plan.budget())));
      if (full) break;
      tokens += end - begin, done.tokens += end - begin;
      ++passed, ++done.requests;
      if (is_left_out(stream.window(), row)) {
        ++batch.left_out;
        continue;
      }
      batch.truncated += truncated;
      const int64_t number = batch.requests() + static_cast<int64_t>(requests.size());
      const Range part = part_of({begin, end}, number);
      requests.push_back({row, number, part.begin, part.end, {begin, end}});
    }
    append(stream, requests, batch);
    stream.advance(passed - passed_before, tokens - tokens_before);
    full = full || passed == planned->requests;
  }
  return batch;
}

void BatchAssembler::append(const ShardStream& stream, const std::vector<Request>& requests,
                            MicroBatch& batch) const {
  const auto& window = stream.window();
  const auto& events = stream.events();
  int64_t tokens = batch.history_offsets.back(), candidates = batch.candidate_offsets.back();
  for (const auto& request : requests) {
    const auto row = static_cast<size_t>(request.row);
    batch.history_offsets.push_back(tokens += request.end - request.begin);
    const Range shown = candidates_of(window, request);
    batch.candidate_offsets.push_back(candidates += shown.end - shown.begin);
    if (options_.history_parts > 1) {
      const Range& whole = request.whole;
      batch.whole_offsets.push_back(batch.whole_offsets.back() + whole.end - whole.begin);
      batch.later_offsets.push_back(batch.later_offsets.back() + whole.end - request.end);
    }
    batch.user_id.push_back(events.user_id[static_cast<size_t>(window.user[row])]);
    batch.time_ms.push_back(window.time[row]);
    batch.day.push_back(stream.day_index());
    batch.part.push_back(stream.part());
    batch.row.push_back(window.first + request.row);
  }
  append_history(window, events, requests, batch);
  append_candidates(window, requests, batch);
  append_user(window, events, requests, batch);
}

void BatchAssembler::append_history(const RequestWindow& window, const EventsPart& events,
                                    const std::vector<Request>& requests, MicroBatch& batch) const {
  int64_t tokens = 0;
  for (const auto& request : requests) tokens += request.end - request.begin;
  if (tokens == 0) return;
  RealBlock reals(batch.history.real, plan_.resolved.history_real, tokens);
  auto column = batch.history.id_columns.begin();
  for (const auto& source : plan_.history) {
    if (source.kind == ColumnKind::real) {
      float* out = reals.take_column();
      const bool joined = source.from == From::item_column;
      const auto& values =
          joined ? items_.column(source.index).reals : events.event_columns[source.index].reals;
      for (const auto& request : requests)
        for (int64_t i = request.begin; i < request.end; ++i, out += reals.width()) {
          const int64_t row = joined ? events.item_row[static_cast<size_t>(i)] : i;
          *out = row < 0 ? 0.0f : values[static_cast<size_t>(row)];
        }
      continue;
    }
    IdColumn& out = *column++;
    out.ids.reserve(out.ids.size() + static_cast<size_t>(tokens));
    for (const auto& request : requests) {
      switch (source.from) {
        case From::own_id:
          out.ids.insert(out.ids.end(), events.item.begin() + request.begin,
                         events.item.begin() + request.end);
          break;
        case From::age: {
          const int64_t now = window.time[static_cast<size_t>(request.row)];
          for (int64_t i = request.begin; i < request.end; ++i)
            out.ids.push_back(
                age_bucket(now, events.time[static_cast<size_t>(i)], options_.spec.age_buckets));
          break;
        }
        case From::item_column:
          append_joined(items_.column(source.index), events.item_row, request.begin, request.end, out);
          break;
        default:
          append_range(events.event_columns[source.index], request.begin, request.end, out);
      }
    }
  }
}

void BatchAssembler::append_candidates(const RequestWindow& window, const std::vector<Request>& requests,
                                       MicroBatch& batch) const {
  std::vector<Range> ranges;
  int64_t rows = 0;
  for (const auto& request : requests) {
    ranges.push_back(candidates_of(window, request));
    rows += ranges.back().end - ranges.back().begin;
    batch.item.insert(batch.item.end(), window.item.begin() + ranges.back().begin,
                      window.item.begin() + ranges.back().end);
  }
  RealBlock reals(batch.candidate.real, plan_.resolved.candidate_real, rows);
  auto column = batch.candidate.id_columns.begin();
  for (const auto& source : plan_.candidate) {
    const bool joined = source.from == From::item_column;
    if (source.kind == ColumnKind::real) {
      float* out = reals.take_column();
      const std::span<const float> values =
          joined ? items_.column(source.index).reals : window.candidate_columns[source.index].reals;
      for (const auto& range : ranges)
        for (int64_t i = range.begin; i < range.end; ++i, out += reals.width()) {
          const int64_t row = joined ? window.item_row[static_cast<size_t>(i)] : i;
          *out = row < 0 ? 0.0f : values[static_cast<size_t>(row)];
        }
      continue;
    }
    IdColumn& out = *column++;
    for (const auto& [begin, end] : ranges) {
      if (joined)
        append_joined(items_.column(source.index), window.item_row, begin, end, out);
      else if (source.from == From::own_id)
        out.ids.insert(out.ids.end(), window.item.begin() + begin, window.item.begin() + end);
      else
        append_range(window.candidate_columns[source.index], begin, end, out);
    }
  }

  const auto& spec = options_.spec;
  for (const auto& range : ranges)
    for (int64_t i = range.begin; i < range.end; ++i) {
      const auto c = static_cast<size_t>(i);
      const double importance = window.importance.empty() ? 1.0 : window.importance[c];
      for (size_t t = 0; t < spec.tasks.size(); ++t) {
        const bool weighted = t < window.sample_weights.size() && !window.sample_weights[t].empty();
        const double task = t < spec.task_weights.size() ? spec.task_weights[t] : 1.0;
        batch.labels.push_back(window.labels[t][c]);
        batch.weights.push_back(
            static_cast<float>(task * (weighted ? window.sample_weights[t][c] : 1.0) * importance));
      }
      if (!window.metric_weight.empty()) batch.metric_weight.push_back(window.metric_weight[c]);
    }
}

void BatchAssembler::append_user(const RequestWindow& window, const EventsPart& events,
                                 const std::vector<Request>& requests, MicroBatch& batch) const {
  RealBlock reals(batch.user.real, plan_.resolved.user_real, static_cast<int64_t>(requests.size()));
  auto column = batch.user.id_columns.begin();
  for (const auto& source : plan_.user) {
    const bool of_user = source.from == From::user_column;
    const ColumnData* values = source.from == From::own_id ? nullptr
                               : of_user                   ? &events.user_columns[source.index]
                                                           : &window.request_columns[source.index];
    float* real = source.kind == ColumnKind::real ? reals.take_column() : nullptr;
    IdColumn* out = real ? nullptr : &*column++;
    for (const auto& request : requests) {
      const int64_t user = window.user[static_cast<size_t>(request.row)];
      const int64_t row = of_user ? user : request.row;
      if (!values) {
        out->ids.push_back(events.user_id[static_cast<size_t>(user)]);
      } else if (real) {
        *real = values->reals[static_cast<size_t>(row)];
        real += reals.width();
      } else {
        append_range(*values, row, row + 1, *out);
      }
    }
  }
}

}  // namespace lime
