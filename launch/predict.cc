#include "launch/predict.h"

#include <optional>

#include "launch/scores_file.h"
#include "layers/loss.h"
#include "model/together.h"

namespace lime {

void predict(const Scoring& scoring, const std::vector<std::string>& days, HistoryMode mode,
             const std::string& out_path, const ScoringProgress& progress) {
  Communicator& comm = scoring.comm;
  std::optional<ScoresFile> file;  // on rank 0
  together(comm, [&] {
    if (comm.rank() == 0) file.emplace(out_path, scoring.dataset, scoring.config, days, to_string(mode));
  });
  ScoredRequests mine;
  Context host({}, scoring.ctx.parameter_dtype());
  score_days(
      scoring, days, mode,
      [&](const MicroBatch& micro, const ConstView& logits) {
        const Arena::Scope scope(host.arena());
        const View probabilities = host.alloc(logits.rows(), logits.cols());
        sigmoid(host, logits, probabilities);
        mine.add(micro, probabilities);
      },
      progress,
      [&] {
        const auto of_ranks = gather_bytes(comm, mine.packed(), 0);
        mine.clear();
        together(comm, [&] {
          for (const auto& packed : of_ranks)
            file->add(ScoredRequests::unpack({packed.data(), packed.size()}));
        });
      });
  together(comm, [&] {
    if (file) file->finish();
  });
}

}  // namespace lime
