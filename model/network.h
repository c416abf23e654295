// Network: the dense model and the sparse tables joined over a dataset's features: what trains, evaluates and
// predicts.
//
// A micro-batch's id features are looked up and laid side by side (feature order of the config, then real
// columns) as the dense model's inputs; gradients go back the same way.
#pragma once

#include <memory>
#include <vector>

#include "embeddings/embedding_collection.h"
#include "io/batch.h"
#include "io/reader.h"
#include "layers/parameter.h"
#include "layers/ranking_model.h"
#include "model/config.h"
#include "runtime/context.h"

namespace lime {

class Network {
 public:
  // Resolves features against the schema, sizes the model, registers and initialises parameters, makes the
  // tables, which talk by the communicators (embedding_collection.h).
  Network(Context&, Communicator&, const Config&, const DatasetSchema&, Communicator* on_device = nullptr);
  ~Network();

  ParameterStore& parameters();
  const ParameterStore& parameters() const;
  RankingModel& model();
  EmbeddingCollection& tables();
  const EmbeddingCollection& tables() const;

  // Micro-batches that hold parts of histories (MicroBatch::whole_offsets) are computed together with the
  // ranks of this communicator, over the context's device, which hold the others: forward and backward are
  // collective. Null: no longer.
  void share_histories(Communicator*);

  // Starts the id exchange for these micro-batches, which must outlive the lookup.
  std::unique_ptr<Lookup> begin_lookup(const std::vector<MicroBatch>&, bool insert);
  // logits: candidates x tasks of micro-batch `index`, in the context's arena, of the parameters' type;
  // `targets`, where asked for, is set to its labels and weights. All on the context's device, until the
  // arena is reset. The lookup must be finished.
  struct Targets {
    View labels, weights;  // candidates x tasks
  };
  View forward(Context&, const Lookup&, const MicroBatch&, int64_t index, Targets* targets = nullptr);
  // After forward of the same micro-batch. Row gradients go into the lookup; where it has no other
  // micro-batch the arena, in which they lie, must not be reset before the tables' update.
  void backward(Context&, Lookup&, int64_t index, const ConstView& dlogits);

  // --- for serving, on one rank: safe from any number of threads while nobody trains ---------------
  enum class Group : uint8_t { history, candidate, user };
  int64_t input_width(Group) const;
  // out (rows x input_width, f32): the dense model's input of these rows, straight from the tables.
  void read_input(Group, const FeatureColumns&, View out) const;

  // Of the dense network.
  Context& context() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
