// RankingModel: from gathered embeddings to logits and back. The dense network, which knows no table, file or
// rank.
//
//   history tokens   e = W_e history_features + b_e + pos                        [T, d]
//   candidates       T_c = MLP_t(candidate_features)                            [C, d]
//   interaction      z_c = by one of the models (interaction.h)                 [C, d]
//   score head       logits = MLP_s([z_c ; T_c ; u])                            [C, tasks]
//
// docs/model.md has the mathematics. B requests, T = sum of history lengths, C = sum of candidates, jagged,
// unpadded. An empty history, a request without candidates and an empty batch are legal.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "layers/history_parts.h"
#include "layers/parameter.h"
#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

enum class CandidateAttention : uint8_t { softmax, silu };

struct RankingModelConfig {
  std::string name = "lime_xor";  // of make_interaction (interaction.h)
  int64_t history_features = 0;   // columns of the three inputs
  int64_t candidate_features = 0;
  int64_t user_features = 0;
  int64_t width = 64;  // d, a multiple of heads
  int64_t heads = 2;
  int64_t links = 16;           // of lime_*; rows that stand for a history in truncated_mha and linformer
  int64_t blocks = 2;           // of lime_xor and hstu
  int64_t head_hidden = 64;     // hidden width of the score head and of din's activation unit
  int64_t max_positions = 256;  // positions beyond share the last row; 0: no position embedding
  int64_t tasks = 1;
  CandidateAttention candidate_attention = CandidateAttention::softmax;
};

struct ModelInput {
  ConstView history;         // T x history_features
  ConstView candidates;      // C x candidate_features
  ConstView user;            // B x user_features
  Jagged history_offsets;    // B segments, T rows; most recent event last in its segment
  Jagged candidate_offsets;  // B segments, C rows
  HistoryParts parts = {};   // of models whose history can be cut (cuts_histories)
};

struct ModelInputGrad {  // overwritten; shapes of ModelInput
  View history, candidates, user;
};

// Whether a model of that name can have its histories in parts on several ranks: those in which links meet
// the history.
bool cuts_histories(const std::string& name);

class RankingModel {
 public:
  // Registers its parameters. Throws UserError on sizes that do not fit (width not a multiple of heads,
  // unknown name).
  RankingModel(const RankingModelConfig&, ParameterStore&);
  ~RankingModel();

  const RankingModelConfig& config() const;

  // logits: C x tasks, of the parameters' type. Keeps what backward needs in the context's arena until the
  // arena is reset.
  void forward(Context&, const ModelInput&, View logits);
  // After forward, once. Overwrites all parameter gradients, calling ParameterStore::ready as each becomes
  // final, each exactly once, in about reverse order of registration.
  void backward(Context&, const ConstView& dlogits, const ModelInputGrad&);

  // Scores begin there, by task: the last bias of the score head. Of a new network: it is learned from then
  // on.
  void start_at(Context&, std::span<const double> logits);

  // Floating-point operations of forward + backward for such a batch, counting multiply-adds of matrix
  // products and attention as two, nothing else: what "share of the GEMM rate" refers to.
  double training_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const;

 private:
  friend class CachedScoring;  // runs the same layers, item side and user side apart
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
