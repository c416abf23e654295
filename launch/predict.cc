// predict: scores of every candidate in one HDF5 file, in an order that does not depend on the ranks.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <tuple>
#include <utility>

#include "io/hdf5_file.h"
#include "launch/evaluator.h"
#include "launch/scoring.h"
#include "layers/loss.h"
#include "model/together.h"
#include "runtime/error.h"

namespace lime {
namespace {

struct ScoredRequest {
  int64_t day, part, row;  // `day` indexes the list of days
  int64_t user, time;
  int64_t candidates;
  int64_t first = 0;  // its first candidate among all that are held
};

struct Scores {
  std::vector<ScoredRequest> requests;
  std::vector<int64_t> items;  // by candidate
  std::vector<float> scores;   // candidates x tasks

  void add(const MicroBatch& micro, const ConstView& probabilities) {
    for (int64_t r = 0; r < micro.requests(); ++r) {
      const auto i = static_cast<size_t>(r);
      const int64_t candidates = micro.candidate_offsets[i + 1] - micro.candidate_offsets[i];
      requests.push_back(
          {micro.day[i], micro.part[i], micro.row[i], micro.user_id[i], micro.time_ms[i], candidates});
    }
    items.insert(items.end(), micro.item.begin(), micro.item.end());
    const auto* p = probabilities.data<float>();
    scores.insert(scores.end(), p, p + probabilities.size());
  }
};

// Every rank's values one after the other, on rank 0.
template <typename T>
std::vector<T> gather_values(Communicator& comm, const std::vector<T>& mine) {
  const auto* bytes = reinterpret_cast<const char*>(mine.data());
  std::vector<T> all;
  for (const auto& part : gather_bytes(comm, std::span<const char>(bytes, mine.size() * sizeof(T)), 0)) {
    const size_t before = all.size();
    all.resize(before + part.size() / sizeof(T));
    if (!part.empty()) std::memcpy(all.data() + before, part.data(), part.size());
  }
  return all;
}

Scores gather(Communicator& comm, const Scores& mine) {
  Scores all{gather_values(comm, mine.requests), gather_values(comm, mine.items),
             gather_values(comm, mine.scores)};
  int64_t first = 0;
  for (auto& request : all.requests) first = (request.first = first) + request.candidates;
  std::sort(all.requests.begin(), all.requests.end(), [](const ScoredRequest& a, const ScoredRequest& b) {
    return std::tie(a.day, a.part, a.row) < std::tie(b.day, b.part, b.row);
  });
  return all;
}

// "2022-05-08" -> 20220508
int32_t day_number(std::string day) {
  std::erase(day, '-');
  return static_cast<int32_t>(std::stol(day));
}

void write_requests(Hdf5File& file, const Scores& all, const std::vector<std::string>& days) {
  const auto column = [&](const char* name, auto value_of) {
    std::vector<decltype(value_of(all.requests[0]))> values;
    values.reserve(all.requests.size());
    for (const auto& request : all.requests) values.push_back(value_of(request));
    file.write(str("/request/", name), std::span(std::as_const(values)));
  };
  column("day", [&](const ScoredRequest& r) { return day_number(days.at(static_cast<size_t>(r.day))); });
  column("user", [](const ScoredRequest& r) { return r.user; });
  column("time", [](const ScoredRequest& r) { return r.time; });
  column("part", [](const ScoredRequest& r) { return r.part; });
  column("row", [](const ScoredRequest& r) { return r.row; });
}

void write_candidates(Hdf5File& file, const Scores& all, const std::vector<TaskConfig>& tasks) {
  std::vector<int64_t> offsets{0}, items;
  std::vector<float> scores;
  for (const auto& request : all.requests) {
    offsets.push_back(offsets.back() + request.candidates);
    for (int64_t c = request.first; c < request.first + request.candidates; ++c)
      items.push_back(all.items[static_cast<size_t>(c)]);
  }
  file.write<int64_t>("/candidate/offsets", offsets);
  file.write<int64_t>("/candidate/item", items);
  for (size_t t = 0; t < tasks.size(); ++t) {
    scores.clear();
    for (const auto& request : all.requests)
      for (int64_t c = request.first; c < request.first + request.candidates; ++c)
        scores.push_back(all.scores[static_cast<size_t>(c) * tasks.size() + t]);
    file.write<float>("/score/" + tasks[t].label, scores);
  }
}

void write_file(const std::string& path, const Scores& all, const Config& config,
                const std::vector<std::string>& days, HistoryMode mode) {
  Hdf5File file(path, Hdf5File::Mode::create);
  file.set_attribute("/", "format", std::string("lime-scores"));
  file.set_attribute("/", "version", int64_t{1});
  file.set_attribute("/", "history", std::string(to_string(mode)));
  write_requests(file, all, days);
  write_candidates(file, all, config.tasks);
  file.close();
}

}  // namespace

void predict(Communicator& comm, Context& ctx, Network& network, const Dataset& dataset, const Config& config,
             const std::vector<std::string>& days, HistoryMode mode, const std::string& out_path,
             const ScoringProgress& progress) {
  const bool root = comm.rank() == 0;
  const std::string partial = out_path + ".partial";
  // A path that cannot be written is told before the scoring, not after it.
  together(comm, [&] {
    if (root) Hdf5File(partial, Hdf5File::Mode::create).close();
  });
  try {
    Scores mine;
    Context host({}, ctx.parameter_dtype());
    score_days(
        comm, ctx, network, dataset, config, days, mode,
        [&](const MicroBatch& micro, const ConstView& logits) {
          const Arena::Scope scope(host.arena());
          const View probabilities = host.alloc(logits.rows(), logits.cols());
          sigmoid(host, logits, probabilities);
          mine.add(micro, probabilities);
        },
        progress);
    const Scores all = gather(comm, mine);
    together(comm, [&] {
      if (!root) return;
      write_file(partial, all, config, days, mode);
      std::error_code error;
      std::filesystem::rename(partial, out_path, error);
      if (error) throw UserError(str(out_path, ": ", error.message()));
    });
  } catch (...) {
    std::error_code ignored;
    if (root) std::filesystem::remove(partial, ignored);
    throw;
  }
}

}  // namespace lime
