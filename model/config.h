// Config: what a run is, from a YAML file and --set key=value. docs/configuration.md is generated from the
// same table of keys that the parser checks (config_keys.h), so that help and parser agree.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "embeddings/embedding_collection.h"
#include "io/reader.h"
#include "layers/adamw.h"
#include "layers/ranking_model.h"

namespace lime {

struct DataConfig {
  std::string path;   // dataset directory
  std::string train;  // days: "2022-04-25..2022-05-04"
  std::string eval;   // held-out days evaluated after training, or ""
  std::string seen;   // days that the weights of train.from were trained on, or ""
  int64_t max_history = 256;
  double keep_negatives = 1;  // share of the negatives that training reads
  bool shuffle = true;
  int64_t shuffle_window = 65536;
  int64_t prefetch = 4;
  int64_t threads = 1;
  int64_t cache_mb = 1024;
};

struct EmbeddingConfig {  // defaults of every table, and overrides by table name
  TableMemory memory = TableMemory::device;
  TableConfig defaults;
  std::map<std::string, TableConfig> tables;  // complete (defaults applied), name set
  std::map<std::string, std::string> shared;  // feature -> table; others have a table of their own name
  std::map<std::string, Pooling> pooling;     // feature -> pooling of multi-valued features; default mean
};

struct TaskConfig {
  std::string label;
  double weight = 1.0;
  std::string sample_weight;  // a weight column, or ""
};

enum class Precision : uint8_t { f32, tf32, bf16 };
const char* to_string(Precision);

struct TrainConfig {
  std::string from;  // a run or checkpoint whose weights this run begins with, or ""
  int64_t epochs = 1;
  int64_t max_steps = 0;             // stop after this step, if the epochs have as many; 0: run all epochs
  int64_t batch_requests = 512;      // of the global batch
  int64_t batch_history_tokens = 0;  // budget of the global batch; 0: none
  int64_t micro_batches = 4;         // V: a power of two, at least the number of ranks
  int64_t context_parallel = 1;      // ranks that share each micro-batch, its histories cut along time
  double learning_rate = 1e-3;
  // constant | linear | cosine: decay to final_learning_rate over the run's steps.
  std::string schedule = "constant";
  double final_learning_rate = 0.0;
  int64_t warmup_steps = 0;
  int64_t schedule_steps = 0;            // length of the decay; 0: epochs x steps an epoch, at most max_steps
  bool schedule_sparse = false;          // the tables' learning rates follow the schedule too
  double clip_norm = 0.0;                // global norm of dense and sparse gradients; 0: no clipping
  Precision precision = Precision::f32;  // of rows and products; others than f32 on CUDA devices only
  AdamWConfig adamw;
  double bucket_mb = 4.0;
  int64_t log_every = 20;           // steps
  int64_t eval_every = 0;           // steps; 0: only at the end
  std::string best;                 // metric by which the best checkpoint is kept, "click.auc"; "": none is
  int64_t patience = 0;             // evaluations without a better one that end the run; 0: none do
  int64_t checkpoint_every = 1000;  // steps; 0: only at the end and on a signal
  int64_t keep_checkpoints = 3;     // the newest; the best is kept beside them

  // What gradients are summed over: micro-batches, or their parts. Part p of micro-batch m is p * V + m.
  int64_t leaves() const { return micro_batches * context_parallel; }
};

struct EvalConfig {
  std::string history = "running";         // running | frozen | both | none | stranger
  int64_t batch_requests = 2048;           // of the global batch
  int64_t batch_history_tokens = 1 << 20;  // budget of the global batch; 0: none
  std::string watch_time;                  // a weight column for WT-AUC, or ""
};

BatchSpec default_features();  // history [item, age], candidate [item], user [user]

struct Config {
  std::string device = "cpu";
  uint64_t seed = 1;
  DataConfig data;
  BatchSpec features = default_features();  // names; tasks and weights are filled in from `tasks` and `eval`
  EmbeddingConfig embeddings;
  RankingModelConfig model;  // feature widths and tasks are filled in by the network
  std::vector<TaskConfig> tasks;
  TrainConfig train;
  EvalConfig eval;
};

using Overrides = std::vector<std::pair<std::string, std::string>>;  // --set key=value

// Reads a YAML file (or text, for resumed runs), applies overrides, checks every key, type and range. Throws
// UserError: "configs/x.yaml:12: unknown key 'model.widht' (did you mean 'model.width'?)".
Config load_config(const std::string& path, const Overrides&);
Config parse_config(const std::string& text, const std::string& origin, const Overrides&);
// Every key with its value, in the order of the documentation: parse_config(to_yaml(c)) == c.
std::string to_yaml(const Config&);
// The table that a feature looks up, and a table's settings.
std::string table_of(const EmbeddingConfig&, const std::string& feature);
// The features of history, candidates and user, each once.
std::set<std::string> all_features(const BatchSpec&);
TableConfig table_config(const EmbeddingConfig&, const std::string& table);
// The part that decides what a checkpoint's tensors mean (model, features, tables, tasks), canonical: equal
// text, same model.
std::string model_signature(const Config&);
// Table of all keys with type, default, range and meaning, as text for --help and as Markdown for the docs.
std::string describe_keys(bool markdown);
// The keys of a section ("train.adamw", "embeddings.tables.user"), or the one of that name, as text; "":
// there is none.
std::string describe_keys_of(const std::string& section);

}  // namespace lime
