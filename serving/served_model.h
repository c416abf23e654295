// ServedModel: a trained run opened for scoring by one process: configuration, features and a checkpoint's
// weights, without MPI, optimizer state or a dataset's logs. And the memory that each thread computes in.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "layers/cached_scoring.h"
#include "model/network.h"
#include "model/run_choice.h"

namespace lime {

// One thread's: activations, and a model of its own over the weights that all share.
class ServingSession {
 public:
  explicit ServingSession(Network&);

  Context& context() { return ctx_; }
  RankingModel& model() { return model_; }
  CachedScoring& cached() { return *cached_; }  // of models with links only

  // Scratch that keeps its memory from one request to the next.
  std::vector<int32_t> rows;
  std::vector<int64_t> missing;

 private:
  Context ctx_;
  ParameterStore store_;
  RankingModel model_;
  std::unique_ptr<CachedScoring> cached_;
};

class ServedModel {
 public:
  // Reads the run's config.yaml, dataset.yaml and the checkpoint. Throws UserError where one of them cannot
  // be used, where a weight or an embedding is not finite, and where a candidate feature is no property of
  // the item.
  explicit ServedModel(const RunChoice&);
  ServedModel(const ServedModel&) = delete;
  ServedModel& operator=(const ServedModel&) = delete;

  const Config& config() const { return config_; }
  const Dataset& dataset() const { return dataset_; }  // its description: the files may not be there
  const ResolvedSpec& features() const { return features_; }
  const Network& network() const { return network_; }
  const std::string& checkpoint() const { return checkpoint_; }  // "step-000000335"
  const std::string& checkpoint_xxh3() const { return verified_.checksum(); }
  const std::string& directory() const { return verified_.directory(); }  // of the checkpoint

  // A session for the time that the object lives; made when all others are taken.
  class Session {
   public:
    explicit Session(const ServedModel&);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ServingSession* operator->() const { return session_.get(); }
    ServingSession& operator*() const { return *session_; }

   private:
    const ServedModel& model_;
    std::unique_ptr<ServingSession> session_;
  };

 private:
  void check_finite() const;

  Config config_;
  Dataset dataset_;
  ResolvedSpec features_;
  VerifiedCheckpoint verified_;
  std::string checkpoint_;
  Context ctx_;
  mutable Network network_;  // sessions read its weights
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<ServingSession>> free_;
  mutable size_t sessions_ = 0;  // ever made
};

}  // namespace lime
