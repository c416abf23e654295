// predict: scores of every candidate in one HDF5 file, in an order that does not depend on the ranks.
#include <optional>

#include "launch/evaluator.h"
#include "launch/scores_file.h"
#include "launch/scoring.h"
#include "layers/loss.h"
#include "model/together.h"

namespace lime {

void predict(Communicator& comm, Context& ctx, Network& network, const Dataset& dataset, const Config& config,
             const std::vector<std::string>& days, HistoryMode mode, const std::string& out_path,
             const ScoringProgress& progress) {
  std::optional<ScoresFile> file;  // on rank 0
  together(comm, [&] {
    if (comm.rank() == 0) file.emplace(out_path, dataset, config, days, to_string(mode));
  });
  ScoredRequests mine;
  Context host({}, ctx.parameter_dtype());
  score_days(
      comm, ctx, network, dataset, config, days, mode,
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
