// Configurations: what is read, what comes back as text, and what every mistake says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "model/config.h"
#include "model/config_keys.h"
#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string small = R"(data:
  path: data/x
  train: 2022-04-25..2022-05-04
tasks: [is_click]
)";

Config parse(const std::string& text, const Overrides& overrides = {}) {
  return parse_config(text, "x.yaml", overrides);
}

std::string failure(const std::string& text, const Overrides& overrides = {}) {
  return user_error([&] { parse(text, overrides); });
}

TEST(Config, DefaultsStandWhereAKeyIsNotGiven) {
  const Config config = parse(small);
  EXPECT_EQ(config.data.path, "data/x");
  EXPECT_EQ(config.train.batch_requests, 512);
  EXPECT_EQ(config.model.name, "lime_xor");
  EXPECT_THAT(config.features.history, ElementsAre("item", "age"));
  EXPECT_THAT(config.features.user, ElementsAre("user"));
}

TEST(Config, PrecisionIsChosenWithADeviceThatHasIt) {
  EXPECT_EQ(parse(small).train.precision, Precision::f32);
  const Config config = parse(small, {{"device", "cuda"}, {"train.precision", "bf16"}});
  EXPECT_EQ(config.train.precision, Precision::bf16);
  EXPECT_EQ(parse(to_yaml(config)).train.precision, Precision::bf16);
}

TEST(Config, TablesAreStoredInATypeOfTheirOwn) {
  EXPECT_EQ(parse(small).embeddings.defaults.type, DType::f32);
  const Config config =
      parse(small + "embeddings: {type: bf16, tables: {age: {type: f32}, item: {dim: 8}}}\n");
  EXPECT_EQ(table_config(config.embeddings, "age").type, DType::f32);
  EXPECT_EQ(table_config(config.embeddings, "item").type, DType::bf16);
  EXPECT_EQ(table_config(config.embeddings, "user").type, DType::bf16);
  EXPECT_EQ(table_config(parse(to_yaml(config)).embeddings, "age").type, DType::f32);
  EXPECT_THAT(model_signature(config), HasSubstr("table.item.optimizer: rowwise_adagrad\n"
                                                 "table.item.type: bf16\n"));
  EXPECT_THAT(model_signature(config), testing::Not(HasSubstr("table.age.type")));
}

TEST(Config, TasksAreNamesOrMappingsAndFillTheBatchSpec) {
  const Config config = parse(
      "data: {path: a, train: 2022-01-01}\n"
      "tasks: [is_click, {label: long_view, weight: 0.25, sample_weight: play_time}]\n"
      "eval: {watch_time: play_time}\n");
  EXPECT_THAT(config.features.tasks, ElementsAre("is_click", "long_view"));
  EXPECT_THAT(config.features.task_weights, ElementsAre(1.0, 0.25));
  EXPECT_THAT(config.features.sample_weights, ElementsAre("", "play_time"));
  EXPECT_EQ(config.features.metric_weight, "play_time");
}

TEST(Config, ATableTakesWhatItDoesNotSayFromTheDefaults) {
  const std::string tables =
      small + "embeddings:\n  tables:\n    item: {dim: 64}\n  dim: 8\n  shared: {user: item}\n";
  const Config config = parse(tables, {{"embeddings.learning_rate", "0.5"}});
  const TableConfig item = table_config(config.embeddings, "item");
  EXPECT_EQ(item.name, "item");
  EXPECT_EQ(item.dim, 64);
  EXPECT_EQ(item.learning_rate, 0.5);
  EXPECT_EQ(table_config(config.embeddings, "age").dim, 8);
  EXPECT_EQ(table_of(config.embeddings, "user"), "item");
  EXPECT_EQ(table_of(config.embeddings, "age"), "age");
}

TEST(Config, OverridesReplaceWhatTheFileSays) {
  const Config config = parse(small, {{"features.history", "[item, action]"},
                                      {"train.adamw.beta1", "0.5"},
                                      {"data.train", "2022-04-25"},
                                      {"tasks", "[{label: is_like, weight: 3}]"},
                                      {"model", "{width: 128, heads: 4}"},
                                      {"seed", "18446744073709551615"}});
  EXPECT_THAT(config.features.history, ElementsAre("item", "action"));
  EXPECT_EQ(config.train.adamw.beta1, 0.5);
  EXPECT_EQ(config.data.train, "2022-04-25");
  ASSERT_EQ(config.tasks.size(), 1u);
  EXPECT_EQ(config.tasks[0].label, "is_like");
  EXPECT_EQ(config.tasks[0].weight, 3);
  EXPECT_EQ(config.model.width, 128);
  EXPECT_EQ(config.model.heads, 4);
  EXPECT_EQ(config.seed, 18446744073709551615u);
}

TEST(Config, AnOverrideChangesOnePropertyOfATask) {
  const Config config = parse(small, {{"tasks.0.weight", "0.5"}});
  EXPECT_EQ(config.tasks.at(0).label, "is_click");
  EXPECT_EQ(config.tasks.at(0).weight, 0.5);
}

TEST(Config, ResolvedYamlReadsBackTheSame) {
  const Config config = parse(
      "data: {path: 'a directory: with #signs \"and\" \\', train: 2022-04-25, eval: "
      "'2022-04-26,2022-04-27'}\n"
      "features: {history: [item, tags, action], user: []}\n"
      "embeddings:\n"
      "  tables: {item: {dim: 12, learning_rate: 0.1, optimizer: adam}, tags: {capacity: 1000}}\n"
      "  shared: {action: tags}\n"
      "  pooling: {tags: sum}\n"
      "model: {candidate_attention: silu}\n"
      "train: {learning_rate: 0.1234567890123456789, adamw: {eps: 1e-300}}\n"
      "tasks: [a, {label: b, weight: 0.3333333333333333, sample_weight: w}]\n");
  const std::string yaml = to_yaml(config);
  const Config again = parse(yaml);
  EXPECT_EQ(to_yaml(again), yaml);
  EXPECT_EQ(again.data.path, "a directory: with #signs \"and\" \\");
  EXPECT_EQ(again.train.learning_rate, config.train.learning_rate);
  EXPECT_EQ(again.tasks.at(1).weight, config.tasks.at(1).weight);
  EXPECT_EQ(again.embeddings.tables.at("tags").capacity, 1000);
  EXPECT_EQ(again.embeddings.tables.at("item").optimizer, SparseOptimizer::adam);
  EXPECT_EQ(again.embeddings.pooling.at("tags"), Pooling::sum);
  EXPECT_EQ(again.model.candidate_attention, CandidateAttention::silu);
  EXPECT_TRUE(again.features.user.empty());
}

// Every key, in turn, keeps a value that is not its default through text and back.
TEST(Config, EveryKeySurvivesTheRoundTrip) {
  const std::set<std::string> held_against_others = {
      "device",          "train.micro_batches", "train.context_parallel",
      "train.precision", "model.width",         "model.heads"};
  for (const auto& key : config_keys()) {
    if (key.path == "tasks") continue;
    std::string path = key.path;
    for (const auto& [placeholder, name] :
         {std::pair{"<table>", "item"}, {"<feature>", "item"}, {"<column>", "item"}, {"<n>", "0"}})
      if (const size_t at = path.find(placeholder); at != path.npos)
        path.replace(at, std::string(placeholder).size(), name);
    bool set = false;
    for (const char* value : {"7", "0.5", "false", "true", "sum", "adam", "silu", "two_tower", "cosine",
                              "both", "host", "bf16", "[item]"}) {
      if (set) break;
      if (held_against_others.contains(path)) continue;
      if (path.ends_with(".batch_history_tokens") || path == "train.batch_requests") value = "4096";
      try {
        const std::string yaml = to_yaml(parse(small, {{path, value}}));
        if (yaml == to_yaml(parse(small))) continue;  // that was the default
        EXPECT_EQ(to_yaml(parse(yaml)), yaml) << path;
        set = true;
      } catch (const UserError&) {
      }
    }
    if (!held_against_others.contains(path)) {
      EXPECT_TRUE(set) << path;
    }
  }
}

TEST(Config, EveryKeyIsDocumented) {
  for (const bool markdown : {false, true}) {
    const std::string text = describe_keys(markdown);
    for (const auto& key : config_keys()) {
      EXPECT_THAT(text, HasSubstr(markdown ? "`" + key.path + "`" : key.path + "  (")) << key.path;
      EXPECT_FALSE(key.help.empty()) << key.path;
    }
  }
}

TEST(Config, TheDocumentationIsTheTableOfKeys) {
  const std::string page = read_file(LIME_SOURCE_DIR "/docs/configuration.md");
  const std::string keys = describe_keys(true);
  const size_t begin = page.find(keys.substr(0, keys.find("`seed`")));
  ASSERT_NE(begin, std::string::npos);
  std::istringstream documented(page.substr(begin)), known(keys);
  for (std::string is, should; std::getline(known, should);) {
    std::getline(documented, is);
    ASSERT_EQ(is, should) << "write docs/configuration.md anew: lime help config --markdown";
  }
  EXPECT_TRUE(documented.peek() == EOF) << "more than lime help config --markdown prints";
}

TEST(Config, ConfigurationsInTheRepositoryAreValid) {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LIME_SOURCE_DIR "/configs")) {
    EXPECT_NO_THROW(load_config(entry.path().string(), {})) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 4);
}

struct Mistake {
  std::string text;
  std::string message;
};
class ConfigMistake : public testing::TestWithParam<Mistake> {};

TEST_P(ConfigMistake, SaysWhatWasFoundAndExpected) {
  EXPECT_EQ(failure(GetParam().text), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigMistake,
    testing::Values(
        Mistake{small + "model:\n  widht: 3\n",
                "x.yaml:6: unknown key 'model.widht' (did you mean 'model.width'?)"},
        Mistake{small + "modle: {width: 3}\n",
                "x.yaml:5: unknown key 'modle.width' (did you mean 'model.width'?)"},
        Mistake{small + "width: 3\n", "x.yaml:5: unknown key 'width' (did you mean 'model.width'?)"},
        Mistake{small + "embeddings: {tables: {item: {dmi: 3}}}\n",
                "x.yaml:5: unknown key 'embeddings.tables.item.dmi' (did you mean "
                "'embeddings.tables.item.dim'?)"},
        // Though "from", of train, is two letters away.
        Mistake{small + "eval: {foo: 3}\n",
                "x.yaml:5: unknown key 'eval.foo' (lime help config eval lists the keys of eval)"},
        // Also a key of train; what is of another section alone is told with it.
        Mistake{small + "eval: {batch_request: 3}\n",
                "x.yaml:5: unknown key 'eval.batch_request' (did you mean 'eval.batch_requests'?)"},
        Mistake{small + "eval: {epochs: 3}\n",
                "x.yaml:5: unknown key 'eval.epochs' (did you mean 'train.epochs'?)"},
        Mistake{small + "embeddings: {table: {item: 3}}\n",
                "x.yaml:5: unknown key 'embeddings.table.item' (did you mean 'embeddings.tables.item'?)"},
        // Not tasks.memory, though tasks have any names.
        Mistake{small + "train: {memory: host}\n",
                "x.yaml:5: unknown key 'train.memory' (did you mean 'embeddings.memory'?)"},
        Mistake{small + "zzzzzzzzz: 3\n",
                "x.yaml:5: unknown key 'zzzzzzzzz' (lime help config lists all keys)"},
        Mistake{small + "train:\n  epochs: 2\n  batch_requests: -3\n",
                "x.yaml:7: train.batch_requests: found -3, expected an integer >= 1"},
        Mistake{small + "train: {batch_requests: 3.5}\n",
                "x.yaml:5: train.batch_requests: found 3.5, expected an integer >= 1"},
        Mistake{small + "train: {epochs: [1]}\n",
                "x.yaml:5: train.epochs: found [1], expected an integer >= 1"},
        Mistake{small + "train: {epochs: {a: 1}}\n",
                "x.yaml:5: train.epochs: found a mapping, expected an integer >= 1"},
        Mistake{small + "train: {learning_rate: nan}\n",
                "x.yaml:5: train.learning_rate: found nan, expected a number >= 0"},
        Mistake{small + "train: {clip_norm: -1}\n",
                "x.yaml:5: train.clip_norm: found -1, expected a number >= 0"},
        Mistake{small + "train: 5\n", "x.yaml:5: train: found 5, expected keys such as train.epochs"},
        Mistake{small + "train: {schedule: cosin}\n",
                "x.yaml:5: train.schedule: found cosin, expected one of constant, linear, cosine"},
        Mistake{small + "train: {micro_batches: 3}\n",
                "x.yaml:5: train.micro_batches: found 3, expected a power of two"},
        Mistake{small + "train: {micro_batches: 1024}\n",
                "x.yaml: train.batch_requests: found 512, expected at least train.micro_batches (1024)"},
        Mistake{small + "train: {context_parallel: 3}\n",
                "x.yaml:5: train.context_parallel: found 3, expected a power of two"},
        Mistake{
            small + "model: {name: hstu}\ntrain: {context_parallel: 2}\n",
            "x.yaml:6: train.context_parallel: found 2, expected 1 with model.name hstu: only lime_xor and "
            "lime_mha have histories that can be cut"},
        Mistake{small + "model: {width: 65}\n",
                "x.yaml:5: model.width: found 65, expected a multiple of model.heads (2)"},
        Mistake{small + "train: {precision: bf16}\n",
                "x.yaml:5: train.precision: found bf16 on device cpu, expected f32, or device cuda"},
        Mistake{small + "embeddings: {type: f16}\n",
                "x.yaml:5: embeddings.type: found f16, expected one of f32, bf16"},
        Mistake{small + "embeddings: {tables: {item: {type: f64}}}\n",
                "x.yaml:5: embeddings.tables.item.type: found f64, expected one of f32, bf16"},
        Mistake{small + "device: gpu\n", "x.yaml:5: device: found gpu, expected cpu, cuda or cuda:N"},
        Mistake{small + "data: {}\n", "x.yaml:5: duplicate key 'data' (first on line 1)"},
        Mistake{small + "train:\n  epochs: 1\n  epochs: 2\n",
                "x.yaml:7: duplicate key 'train.epochs' (first on line 6)"},
        Mistake{small + "features: {history: []}\n",
                "x.yaml:5: features.history: found an empty list, expected at least one feature"},
        Mistake{small + "features: {candidate: []}\n",
                "x.yaml:5: features.candidate: found an empty list, expected at least one feature"},
        Mistake{small + "features: {user: [user, user]}\n",
                "x.yaml:5: features.user: found [user, user], expected a list of different names"},
        Mistake{small + "embeddings:\n  tables:\n    itm: {dim: 3}\n",
                "x.yaml:7: embeddings.tables.itm.dim: no table 'itm' is in use (did you mean 'item'?)"},
        Mistake{small + "embeddings: {shared: {author: item}}\n",
                "x.yaml:5: embeddings.shared.author: no feature 'author' is in use"},
        Mistake{small + "embeddings: {pooling: {item: max}}\n",
                "x.yaml:5: embeddings.pooling.item: found max, expected one of mean, sum"},
        Mistake{"data: {path: a, train: b}\ntasks: [a, a]\n",
                "x.yaml:2: tasks: found [a, a], expected a list of different labels, or of mappings with "
                "label, weight, sample_weight"},
        Mistake{"data: {path: a, train: b}\ntasks: [{weight: 2}]\n",
                "x.yaml: tasks.0.label: missing, expected a label's name"},
        Mistake{"data: {train: b}\ntasks: [a]\n",
                "x.yaml: data.path is missing (dataset directory (lime import, lime generate))"},
        Mistake{"data: {path: a}\ntasks: [a]\n",
                "x.yaml: data.train is missing (days to train on: 2022-04-25..2022-05-04, one day, or "
                "several with commas)"},
        Mistake{"data: {path: a, train: b}\n",
                "x.yaml: tasks is missing (labels to learn, in order; each a name or a mapping)"},
        Mistake{"data: [\n", "x.yaml:2: not valid YAML: end of sequence flow not found"},
        Mistake{"- a\n", "x.yaml:1: found a list or a word, expected keys like 'data:'"}));

TEST(Config, AMistakeInAnOverrideNamesTheOption) {
  EXPECT_EQ(failure(small, {{"train.epochs", "x"}}),
            "--set: train.epochs: found x, expected an integer >= 1");
  EXPECT_EQ(failure(small, {{"train.epoch", "1"}}),
            "--set: unknown key 'train.epoch' (did you mean 'train.epochs'?)");
  EXPECT_EQ(failure(small, {{"tasks.3.weight", "1"}}), "--set: tasks.3.weight: there is no task 3");
}

TEST(Config, AFileThatIsNotThereIsNamed) {
  EXPECT_EQ(user_error([] { load_config("nowhere/x.yaml", {}); }),
            "nowhere/x.yaml: cannot be read: No such file or directory");
}

// What decides the tensors changes the signature; what does not, does not.
TEST(Config, TheSignatureIsOfTheModelAlone) {
  const std::string base = model_signature(parse(small));
  for (const auto& [key, value] : Overrides{{"seed", "2"},
                                            {"train.epochs", "3"},
                                            {"data.train", "2022-05-04"},
                                            {"embeddings.learning_rate", "1"},
                                            {"tasks.0.weight", "2"},
                                            {"eval.history", "both"}})
    EXPECT_EQ(model_signature(parse(small, {{key, value}})), base) << key;
  for (const auto& [key, value] : Overrides{{"model.width", "128"},
                                            {"model.links", "4"},
                                            {"embeddings.dim", "8"},
                                            {"embeddings.tables.age.dim", "8"},
                                            {"embeddings.shared.user", "item"},
                                            {"embeddings.pooling.user", "sum"},
                                            {"embeddings.optimizer", "adam"},
                                            {"embeddings.type", "bf16"},
                                            {"embeddings.tables.item.type", "bf16"},
                                            {"features.user", "[]"},
                                            {"features.buckets.item", "[1, 2]"},
                                            {"tasks", "[is_like]"},
                                            {"embeddings.capacity", "10"}})
    EXPECT_NE(model_signature(parse(small, {{key, value}})), base) << key;
  // A table that only repeats the defaults is the same model.
  EXPECT_EQ(model_signature(parse(small, {{"embeddings.tables.item.dim", "32"}})), base);
}

}  // namespace
}  // namespace lime
