#include "model/config_keys.h"

#include <set>

#include "model/config_key_kinds.h"

namespace lime {
namespace {

using namespace config_key;

const Choices<SparseOptimizer> optimizers = {{"rowwise_adagrad", SparseOptimizer::rowwise_adagrad},
                                             {"adagrad", SparseOptimizer::adagrad},
                                             {"adam", SparseOptimizer::adam},
                                             {"sgd", SparseOptimizer::sgd}};
const Choices<DType> row_types = {{"f32", DType::f32}, {"bf16", DType::bf16}};
const Choices<Pooling> poolings = {{"mean", Pooling::mean}, {"sum", Pooling::sum}};

// The keys of a table: once for the defaults, once for a named table.
template <typename At>
void add_table_keys(std::vector<ConfigKey>& keys, const std::string& prefix, bool named, At at_member) {
  const std::string of = named ? "this table's " : "";
  const size_t first = keys.size();
  const auto key = [&](const char* name) { return prefix + name; };
  keys.push_back(integer(key("dim"), at_member(&TableConfig::dim), 1, 1 << 16, of + "row width"));
  keys.push_back(choice(key("type"), at_member(&TableConfig::type), row_types,
                        of + "stored rows: bf16 takes half the memory, is updated in f32 and rounded "
                             "stochastically (ADR 16); optimizer state is f32"));
  keys.push_back(integer(key("capacity"), at_member(&TableConfig::capacity), 0, no_limit,
                         of + "rows; 0: exact, a row for every id; m > 0: ids modulo m"));
  keys.push_back(real(key("init_std"), at_member(&TableConfig::init_std), 0, no_bound,
                      of + "standard deviation of a new row's values"));
  keys.push_back(choice(key("optimizer"), at_member(&TableConfig::optimizer), optimizers, of + "optimizer"));
  keys.push_back(
      real(key("learning_rate"), at_member(&TableConfig::learning_rate), 0, no_bound, of + "learning rate"));
  keys.push_back(
      real(key("eps"), at_member(&TableConfig::eps), 0, no_bound, "added to the root (adagrad, adam)"));
  keys.push_back(
      real(key("beta1"), at_member(&TableConfig::beta1), 0, below_one, "adam: decay of the first moment"));
  keys.push_back(
      real(key("beta2"), at_member(&TableConfig::beta2), 0, below_one, "adam: decay of the second moment"));
  keys.push_back(real(key("initial_accumulator"), at_member(&TableConfig::initial_accumulator), 0, no_bound,
                      "adagrad: where the sum of squares starts"));
  keys.push_back(integer(key("keep_runs"), at_member(&TableConfig::keep_runs), 0, 255,
                         "with train.from: rows that none of so many latest runs updated are left behind; "
                         "0: none are"));
  keys.push_back(
      integer(key("admit_after"), at_member(&TableConfig::admit_after), 1, 255,
              "an id gets a row in the step that is the so-many-th with a gradient for it, and is only "
              "counted before (ADR 17); 1: at once"));
  if (named)
    for (size_t k = first; k < keys.size(); ++k)
      keys[k].names = [](const Config& c) { return keys_of(c.embeddings.tables); };
}

void add_data_keys(std::vector<ConfigKey>& keys) {
  const auto data = [](auto member) { return at(&Config::data, member); };
  keys.push_back(required(text("data.path", data(&DataConfig::path), "a directory",
                               "dataset directory (lime import, lime generate)")));
  keys.push_back(required(text("data.train", data(&DataConfig::train), "days",
                               "days to train on: 2022-04-25..2022-05-04, one day, or several with commas")));
  keys.push_back(text("data.eval", data(&DataConfig::eval), "days",
                      "held-out days, evaluated after training; empty: none"));
  keys.push_back(text("data.seen", data(&DataConfig::seen), "days",
                      "days that the weights of train.from were trained on, which sets it; like those of "
                      "data.train, none of them can be held out"));
  keys.push_back(integer("data.max_history", data(&DataConfig::max_history), 0, no_limit,
                         "most recent events of a history that are read; 0: none"));
  keys.push_back(
      real("data.keep_negatives", data(&DataConfig::keep_negatives), 0.001, 1,
           "share of the negatives (candidates that no task has a positive label of) that training "
           "reads, others each epoch; each weighs 1 / share, so that probabilities stay right; "
           "train.batch_requests counts requests before"));
  keys.push_back(
      boolean("data.shuffle", data(&DataConfig::shuffle), "shuffle the requests (seeded) while training"));
  keys.push_back(integer("data.shuffle_window", data(&DataConfig::shuffle_window), 1, no_limit,
                         "requests of a part that are shuffled together"));
  keys.push_back(integer("data.prefetch", data(&DataConfig::prefetch), 1, 1024, "batches read ahead"));
  keys.push_back(
      integer("data.threads", data(&DataConfig::threads), 1, 256, "threads that read ahead, a rank"));
  keys.push_back(
      integer("data.cache_mb", data(&DataConfig::cache_mb), 0, int64_t{1} << 40,
              "MiB of the log's events that a rank keeps for the next day, beside those that it reads"));
}

void add_feature_keys(std::vector<ConfigKey>& keys) {
  const auto features = [](auto member) { return at(&Config::features, member); };
  keys.push_back(names("features.history", features(&BatchSpec::history),
                       "of each past event: item, item and event columns, age (bucket of the time since)"));
  keys.push_back(names("features.candidate", features(&BatchSpec::candidate),
                       "of each candidate: item, item and candidate columns"));
  keys.push_back(names("features.user", features(&BatchSpec::user),
                       "of each request: user (the id), user and request columns"));
  keys.push_back(integer("features.age_buckets", features(&BatchSpec::age_buckets), 1, 64,
                         "buckets of age: min(floor(log2(1 + seconds)), buckets - 1)"));
  keys.push_back(buckets(
      "features.buckets.<column>", at_entry(&Config::features, &BatchSpec::buckets),
      "a column of numbers: buckets with an embedding each, with equally many of the values of the training "
      "days, or with these boundaries; 0: none, the number itself goes into the network"));
  keys.back().names = [](const Config& c) { return keys_of(c.features.buckets); };
}

void add_embedding_keys(std::vector<ConfigKey>& keys) {
  add_table_keys(keys, "embeddings.", false,
                 [](auto member) { return at(&Config::embeddings, &EmbeddingConfig::defaults, member); });
  keys.push_back(choice("embeddings.memory", at(&Config::embeddings, &EmbeddingConfig::memory),
                        Choices<TableMemory>{{"device", TableMemory::device}, {"host", TableMemory::host}},
                        "where tables are with device cuda: device: beside the network; host: in host "
                        "memory, for tables that the devices have no room for, and slower"));
  add_table_keys(keys, "embeddings.tables.<table>.", true, [](auto member) { return at_table(member); });
  keys.push_back(text("embeddings.shared.<feature>", at_entry(&Config::embeddings, &EmbeddingConfig::shared),
                      "a table's name", "table that the feature looks up, in place of one of its own name"));
  keys.back().names = [](const Config& c) { return keys_of(c.embeddings.shared); };
  keys.push_back(choice("embeddings.pooling.<feature>",
                        at_entry(&Config::embeddings, &EmbeddingConfig::pooling), poolings,
                        "how the rows of a multi-valued feature are joined; mean where not given"));
  keys.back().names = [](const Config& c) { return keys_of(c.embeddings.pooling); };
}

void add_model_keys(std::vector<ConfigKey>& keys) {
  const auto model = [](auto member) { return at(&Config::model, member); };
  keys.push_back(
      choice("model.name", model(&RankingModelConfig::name),
             words({"lime_xor", "lime_mha", "hstu", "mha", "truncated_mha", "linformer", "din", "two_tower"}),
             "how user and candidate meet"));
  keys.push_back(integer("model.width", model(&RankingModelConfig::width), 1, 1 << 16,
                         "width of tokens and links, a multiple of model.heads"));
  keys.push_back(integer("model.heads", model(&RankingModelConfig::heads), 1, 1 << 10, "attention heads"));
  keys.push_back(integer("model.links", model(&RankingModelConfig::links), 1, 1 << 16,
                         "link embeddings; rows that stand for a history in truncated_mha and linformer"));
  keys.push_back(
      integer("model.blocks", model(&RankingModelConfig::blocks), 1, 1 << 10, "blocks of lime_xor and hstu"));
  keys.push_back(integer("model.head_hidden", model(&RankingModelConfig::head_hidden), 1, 1 << 16,
                         "hidden width of the score head"));
  keys.push_back(integer("model.max_positions", model(&RankingModelConfig::max_positions), 0, 1 << 24,
                         "position embeddings, counted from the most recent event; 0: none"));
  keys.push_back(choice("model.candidate_attention", model(&RankingModelConfig::candidate_attention),
                        Choices<CandidateAttention>{{"softmax", CandidateAttention::softmax},
                                                    {"silu", CandidateAttention::silu}},
                        "activation of the candidates' attention to the links"));
}

std::vector<std::string> task_positions(const Config& config) {
  std::vector<std::string> positions;
  for (size_t t = 0; t < config.tasks.size(); ++t) positions.push_back(std::to_string(t));
  return positions;
}

// tasks: [is_click, long_view], or a list of mappings: {label: is_click, weight: 1}.
void add_task_keys(std::vector<ConfigKey>& keys) {
  ConfigKey list{"tasks",
                 "a list of different labels, or of mappings with label, weight, sample_weight",
                 "labels to learn, in order; each a name or a mapping",
                 true,
                 {},
                 {},
                 {}};
  list.set = [](Config& config, const std::string&, const ConfigValue& value) {
    config.tasks.clear();
    std::set<std::string> seen;
    for (const auto& label : value.items) {
      if (label.empty() || !seen.insert(label).second) return false;
      config.tasks.push_back({label, 1.0, ""});
    }
    return true;
  };
  list.get = [](const Config& config, const std::string&) {
    std::vector<std::string> labels;
    for (const auto& task : config.tasks) labels.push_back(task.label);
    return list_text(labels);
  };
  keys.push_back(list);
  const size_t first = keys.size();
  keys.push_back(
      text("tasks.<n>.label", at_task(&TaskConfig::label), "a label's name", "label column of the dataset"));
  keys.push_back(
      real("tasks.<n>.weight", at_task(&TaskConfig::weight), 0, no_bound, "weight of the task's loss"));
  keys.push_back(text("tasks.<n>.sample_weight", at_task(&TaskConfig::sample_weight),
                      "a weight column's name",
                      "weight column of the dataset that multiplies the loss; empty: none"));
  for (size_t k = first; k < keys.size(); ++k) keys[k].names = task_positions;
}

void add_train_keys(std::vector<ConfigKey>& keys) {
  const auto train = [](auto... members) { return at(&Config::train, members...); };
  keys.push_back(
      integer("train.epochs", train(&TrainConfig::epochs), 1, no_limit, "passes over the training days"));
  keys.push_back(integer("train.max_steps", train(&TrainConfig::max_steps), 0, no_limit,
                         "stop after this step, if the epochs have as many; 0: run all epochs"));
  keys.push_back(
      text("train.from", train(&TrainConfig::from), "a directory",
           "run (its best checkpoint if it keeps one, else its newest good one), or checkpoint, of the "
           "same model, whose weights and table rows this run begins with; empty: random ones"));
  keys.push_back(integer("train.batch_requests", train(&TrainConfig::batch_requests), 1, no_limit,
                         "most requests of the global batch, over all ranks; an epoch is spread evenly over "
                         "as many batches as that takes"));
  keys.push_back(
      integer("train.batch_history_tokens", train(&TrainConfig::batch_history_tokens), 0, no_limit,
              "most history events of the global batch, over which an epoch is spread evenly; 0: no limit"));
  keys.push_back(integer("train.micro_batches", train(&TrainConfig::micro_batches), 1, 1 << 16,
                         "micro-batches of the global batch: a power of two, at least the number of ranks "
                         "by context_parallel, and at most the dataset's parts"));
  keys.push_back(
      integer("train.context_parallel", train(&TrainConfig::context_parallel), 1, 1 << 10,
              "ranks that share each micro-batch, with a part along time of each of its histories, for "
              "histories too long for one: a power of two that divides the ranks; other than 1: of "
              "lime_xor and lime_mha (ADR 18)"));
  keys.push_back(real("train.learning_rate", train(&TrainConfig::learning_rate), 0, no_bound,
                      "of the dense network (AdamW)"));
  keys.push_back(choice("train.schedule", train(&TrainConfig::schedule),
                        words({"constant", "linear", "cosine"}),
                        "how learning_rate goes to final_learning_rate over the run"));
  keys.push_back(real("train.final_learning_rate", train(&TrainConfig::final_learning_rate), 0, no_bound,
                      "at the end of the schedule (linear, cosine)"));
  keys.push_back(integer("train.warmup_steps", train(&TrainConfig::warmup_steps), 0, no_limit,
                         "steps of linear growth from 0 to learning_rate"));
  keys.push_back(integer("train.schedule_steps", train(&TrainConfig::schedule_steps), 0, no_limit,
                         "steps of the decay; 0: those of all epochs, at most max_steps"));
  keys.push_back(boolean("train.schedule_sparse", train(&TrainConfig::schedule_sparse),
                         "the tables' learning rates follow the schedule too"));
  keys.push_back(real("train.clip_norm", train(&TrainConfig::clip_norm), 0, no_bound,
                      "largest global norm of all gradients; 0: no clipping"));
  keys.push_back(choice(
      "train.precision", train(&TrainConfig::precision),
      Choices<Precision>{{"f32", Precision::f32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}},
      "of activations and products; tf32 rounds what is multiplied, bf16 all activations; "
      "sums and parameters are f32; other than f32: device cuda only"));
  const auto adamw = [&](auto member) { return train(&TrainConfig::adamw, member); };
  keys.push_back(
      real("train.adamw.beta1", adamw(&AdamWConfig::beta1), 0, below_one, "decay of the first moment"));
  keys.push_back(
      real("train.adamw.beta2", adamw(&AdamWConfig::beta2), 0, below_one, "decay of the second moment"));
  keys.push_back(real("train.adamw.eps", adamw(&AdamWConfig::eps), 0, no_bound, "added to the root"));
  keys.push_back(real("train.adamw.weight_decay", adamw(&AdamWConfig::weight_decay), 0, no_bound,
                      "decoupled weight decay of matrices"));
  keys.push_back(real("train.bucket_mb", train(&TrainConfig::bucket_mb), 0, no_bound,
                      "MiB of dense gradients that are reduced together, while backward runs"));
  keys.push_back(integer("train.log_every", train(&TrainConfig::log_every), 1, no_limit,
                         "steps between lines of the log and of metrics.jsonl"));
  keys.push_back(integer("train.eval_every", train(&TrainConfig::eval_every), 0, no_limit,
                         "steps between evaluations of data.eval; 0: only at the end"));
  keys.push_back(
      text("train.best", train(&TrainConfig::best), "TASK.METRIC or HISTORY.TASK.METRIC",
           "the checkpoint of the best evaluation so far is kept, by this metric of all held-out "
           "days: a task's auc, gauc, r_auc, mrr, ndcg, wt_auc (higher is better) or ne (lower is), "
           "such as click.auc, or frozen.click.gauc where eval.history has several; empty: none is"));
  keys.push_back(integer("train.patience", train(&TrainConfig::patience), 0, no_limit,
                         "evaluations one after the other without a better one by train.best after which the "
                         "run ends; 0: never"));
  keys.push_back(integer("train.checkpoint_every", train(&TrainConfig::checkpoint_every), 0, no_limit,
                         "steps between checkpoints; 0: only at the end and on a signal"));
  keys.push_back(integer("train.keep_checkpoints", train(&TrainConfig::keep_checkpoints), 1, no_limit,
                         "newest checkpoints kept, beside the best one (train.best)"));
}

void add_eval_keys(std::vector<ConfigKey>& keys) {
  const auto eval = [](auto member) { return at(&Config::eval, member); };
  keys.push_back(choice("eval.history", eval(&EvalConfig::history),
                        words({"running", "frozen", "both", "none", "stranger"}),
                        "histories of held-out requests: running (events up to each request), frozen (events "
                        "before the first held-out day), both, none (empty), stranger (another user's)"));
  keys.push_back(integer("eval.batch_requests", eval(&EvalConfig::batch_requests), 1, no_limit,
                         "requests of the global batch"));
  keys.push_back(integer("eval.batch_history_tokens", eval(&EvalConfig::batch_history_tokens), 0, no_limit,
                         "most history events of the global batch, which memory grows with; 0: no limit"));
  keys.push_back(text("eval.watch_time", eval(&EvalConfig::watch_time), "a weight column's name",
                      "weight column for WT-AUC; empty: no WT-AUC"));
}

std::vector<ConfigKey> make_keys() {
  std::vector<ConfigKey> keys;
  keys.push_back(number_key<uint64_t>("seed", at(&Config::seed), "an integer", 0,
                                      std::numeric_limits<uint64_t>::max(),
                                      "of initial values and of the order of the data"));
  keys.push_back(
      text("device", at(&Config::device), "cpu, cuda or cuda:N",
           "where the dense network runs; cuda: a GPU for each rank of a host, cuda:N: the same for all"));
  add_data_keys(keys);
  add_feature_keys(keys);
  add_embedding_keys(keys);
  add_model_keys(keys);
  add_task_keys(keys);
  add_train_keys(keys);
  add_eval_keys(keys);
  return keys;
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = make_keys();
  return keys;
}

}  // namespace lime
