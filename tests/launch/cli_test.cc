// The program from outside: help, exit codes, and one line for one mistake, on one rank and on several.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "model/config_keys.h"
#include "runtime/error.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Cli, HelpNamesEveryCommandAndEveryCommandHasHelp) {
  const Outcome help = lime_program("--help");
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(help.err, "");
  for (const std::string command : {"import", "generate", "inspect", "configure", "train", "eval",
                                    "importance", "predict", "cache", "score", "compare", "bench", "help"}) {
    EXPECT_THAT(help.out, HasSubstr("  " + command + " "));
    const Outcome own = lime_program(command + " --help");
    EXPECT_EQ(own.exit_code, 0) << command;
    EXPECT_THAT(own.out, HasSubstr("Usage: lime " + command));
    const Outcome topic = lime_program("help " + command);
    EXPECT_EQ(topic.exit_code, 0) << command;
    EXPECT_THAT(topic.out, HasSubstr("Usage: lime " + command));
  }
  for (const std::string importer : {"kuairand", "movielens", "taobao", "csv"})
    EXPECT_THAT(lime_program("import " + importer + " --help").out, HasSubstr("--max-bad-rows"));
}

TEST(Cli, HelpIsOfTheCommandThatIsAskedFor) {
  EXPECT_EQ(lime_program("help").out, lime_program("--help").out);
  for (const std::string command :
       {"import", "import kuairand", "import movielens", "import taobao", "import csv", "generate", "inspect",
        "configure", "train", "eval", "importance", "predict", "cache build", "score", "compare",
        "bench latency", "help"}) {
    const std::string help = lime_program(command + " --help").out;
    EXPECT_EQ(lime_program("help " + command).out, help);
    // Its own example, in words of people.
    const size_t example = help.find("Example");
    if (command != "import") {
      ASSERT_NE(example, std::string::npos) << command;
      EXPECT_THAT(help.substr(example), HasSubstr("lime " + command + " ")) << command;
    }
    EXPECT_THAT(help, testing::Not(testing::ContainsRegex("INT:|POSITIVE|NONNEGATIVE|value in"))) << help;
  }
}

TEST(Cli, VersionSaysWhatItWasBuiltFrom) {
  const Outcome version = lime_program("--version");
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, testing::StartsWith("lime "));
  EXPECT_THAT(version.out, HasSubstr("HDF5"));
}

TEST(Cli, HelpConfigListsEveryKey) {
  const Outcome help = lime_program("help config");
  EXPECT_EQ(help.exit_code, 0);
  for (const auto& key : config_keys()) EXPECT_THAT(help.out, HasSubstr(key.path));
  EXPECT_EQ(lime_program("help config --markdown").out, describe_keys(true));
}

TEST(Cli, HelpConfigOfASectionIsThatSection) {
  const Outcome section = lime_program("help config train.adamw");
  EXPECT_EQ(section.exit_code, 0);
  EXPECT_THAT(section.out, HasSubstr("train.adamw.beta1  ("));
  EXPECT_THAT(section.out, testing::Not(HasSubstr("train.epochs")));
  EXPECT_THAT(lime_program("help config").out, HasSubstr(section.out));
  EXPECT_THAT(lime_program("help config seed").out, testing::StartsWith("seed  ("));
}

TEST(Cli, AnOutputThatIsLostIsNoSuccess) {
  for (const std::string command : {"help config", "--help", "--version"}) {
    const Outcome outcome = lime_program(command + " > /dev/full");
    EXPECT_EQ(outcome.exit_code, 2) << command;
    EXPECT_EQ(outcome.err, "lime: error: standard output cannot be written: No space left on device\n");
  }
}

TEST(Cli, AnImportSaysWhatLooksWrong) {
  const TempDirectory temp;
  write_file(temp.file("log.csv"), "user,item,ts,clicked\nu1,i1,1651363200,1\nu1,i2,1651363300,0\n");
  write_file(temp.file("items.csv"), "item,price\nI1,3\n i2,4\n");
  const auto import = [&](const std::string& unit, const std::string& name) {
    write_file(temp.file("shop.yaml"),
               str("impressions: {files: log.csv, user: user, item: item, time: {column: ts, unit: ", unit,
                   "}, labels: {click: clicked, good: {column: clicked, equals: \"",
                   name == "wrong" ? "yes" : "1", "\"}}", name == "right" ? ", event: all" : "",
                   "}\nitems: {files: items.csv, item: item, features: {price: "
                   "{kind: real}}}\n"));
    return lime_program(str("import csv --mapping ", temp.file("shop.yaml"), " --out ", temp.file(name))).out;
  };
  const std::string wrong = import("ms", "wrong");
  EXPECT_THAT(wrong,
              HasSubstr("\nfeatures of 0.0% of the items shown\nnote: hardly any item of the log has a row "
                        "in the table of items: are their ids written alike in both?\n"));
  EXPECT_THAT(wrong,
              HasSubstr("\nnote: good is 0 in every row, of which nothing is learned: is it read from the "
                        "right column, by the right value?\n"));
  EXPECT_THAT(wrong, testing::Not(HasSubstr("note: click")));
  EXPECT_THAT(wrong, HasSubstr("\nnote: all days are before 1980: is the unit of time right?\n"));
  EXPECT_THAT(wrong,
              HasSubstr("\nnote: all impressions are events of histories, which do not tell click 1 from 0: "
                        "the mapping's `event` says which are (when)"));
  write_file(temp.file("items.csv"), "item,price\ni1,3\n");
  const std::string right = import("s", "right");
  EXPECT_THAT(right, HasSubstr("\nfeatures of 50.0% of the items shown\n"));
  EXPECT_THAT(right, testing::Not(HasSubstr("note:")));
  EXPECT_THAT(right, HasSubstr(" 2 candidates, 1 day, 1 items with features\n"));
}

struct Mistake {
  std::string arguments;
  std::string line;
};
class CliMistake : public testing::TestWithParam<Mistake> {};

TEST_P(CliMistake, IsOneLineAndExitCode2) {
  const Outcome outcome = lime_program(GetParam().arguments);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "lime: error: " + GetParam().line + "\n");
}

INSTANTIATE_TEST_SUITE_P(
    All, CliMistake,
    testing::Values(
        Mistake{"", "A subcommand is required; see: lime --help"},
        Mistake{"trian", "unknown command or argument 'trian' (did you mean 'train'?); see: lime --help"},
        Mistake{"train --otu x", "unknown option '--otu' (did you mean '--out'?); see: lime train --help"},
        Mistake{"train x.yaml y.yaml", "unknown command or argument 'y.yaml'; see: lime train --help"},
        Mistake{"train",
                "lime train: expected either a configuration file or --resume DIR (lime train --help)"},
        Mistake{"train nowhere.yaml --out nowhere",
                "nowhere.yaml: cannot be read: No such file or directory"},
        Mistake{"train " LIME_SOURCE_DIR "/configs",
                LIME_SOURCE_DIR "/configs: is a directory, expected a YAML file"},
        Mistake{"train " LIME_SOURCE_DIR "/configs/quickstart.yaml --trace nowhere/t.json",
                "--trace: cannot write nowhere/t.json: there is no directory nowhere"},
        Mistake{"train " LIME_SOURCE_DIR "/configs/quickstart.yaml --rows /",
                "--rows: / is a directory, expected a file to write"},
        Mistake{"train " LIME_SOURCE_DIR "/configs/quickstart.yaml --rows r.h5 --set data.eval=",
                "--rows: data.eval is empty, expected held-out days whose rows are to be written"},
        Mistake{"predict nowhere --days 2024-01-03 --out /dev/stdout",
                "--out: /dev/stdout is a device or pipe, expected a file to write"},
        Mistake{"eval nowhere --json -", "--json: found '-', expected the name of a file to write"},
        Mistake{"eval nowhere --json nowhere/e.json",
                "--json: cannot write nowhere/e.json: there is no directory nowhere"},
        Mistake{"predict nowhere --days 2022-01-01 --out nowhere/s.h5",
                "--out: cannot write nowhere/s.h5: there is no directory nowhere"},
        Mistake{"cache build nowhere --out nowhere/c.h5",
                "--out: cannot write nowhere/c.h5: there is no directory nowhere"},
        Mistake{"score nowhere --requests 2022-01-01 --out nowhere/b.h5",
                "--out: cannot write nowhere/b.h5: there is no directory nowhere"},
        Mistake{"inspect " + std::string(300, 'x'), std::string(300, 'x') + ": File name too long"},
        Mistake{"train --resume nowhere", "--resume: nowhere is not a run directory (it has no config.yaml)"},
        Mistake{"train " LIME_SOURCE_DIR "/configs/quickstart.yaml --set model.widht=3",
                "--set: unknown key 'model.widht' (did you mean 'model.width'?)"},
        Mistake{"train " LIME_SOURCE_DIR "/configs/quickstart.yaml --set model.width",
                "--set: found 'model.width', expected key=value"},
        Mistake{"eval nowhere", "nowhere is not a run directory (it has no config.yaml)"},
        Mistake{"eval nowhere --history runing",
                "--history: found 'runing', expected one of running, frozen, both, none, stranger; see: lime "
                "eval "
                "--help"},
        Mistake{"predict nowhere --days 2022-01-01", "--out is required; see: lime predict --help"},
        Mistake{"inspect nowhere",
                "nowhere: no such directory, expected a dataset, run or checkpoint directory"},
        Mistake{"inspect /",
                "/: found no dataset.yaml, config.yaml or manifest.json, expected a dataset, run or "
                "checkpoint directory"},
        Mistake{"inspect " LIME_SOURCE_DIR "/README.md",
                LIME_SOURCE_DIR "/README.md: is a file, expected a dataset, run or checkpoint directory"},
        Mistake{"import", "A subcommand is required; see: lime import --help"},
        Mistake{"import kuairand --out x", "--logs is required; see: lime import kuairand --help"},
        Mistake{"bench latency --out x --history 3,x",
                "--history: found 'x', expected whole numbers > 0 apart by commas"},
        Mistake{"bench latency --out nowhere --models lime_xyz --items 9",
                "model name: found 'lime_xyz', expected two_tower, din, mha, truncated_mha, linformer, hstu, "
                "lime_mha or lime_xor"},
        Mistake{"bench latency --out x --precision f8",
                "--precision: found 'f8', expected one of f32, tf32, bf16; see: lime bench latency --help"},
        Mistake{"bench latency --out x --seconds 0",
                "--seconds: found '0', expected a number > 0; see: lime bench latency --help"},
        Mistake{"bench latency --out x --blocks x",
                "--blocks: found 'x', expected an integer in 1..16777216; see: lime bench latency --help"},
        Mistake{"bench latency --out x --items 0",
                "--items: found '0', expected an integer in 1..16777216; see: lime bench latency --help"},
        Mistake{"generate --out x --users many",
                "--users: found 'many', expected a number; see: lime generate --help"},
        Mistake{"import csv --out x --mapping m --parts 0",
                "--parts: found '0', expected an integer in 1..99999; see: lime import csv --help"},
        Mistake{"import csv --out x --mapping m --max-bad-rows -1",
                "--max-bad-rows: found '-1', expected an integer >= 0; see: lime import csv --help"},
        Mistake{"compare c.yaml --models din --out x --seeds 1,x",
                "--seeds: found 'x', expected an integer >= 0; see: lime compare --help"},
        Mistake{"train c.yaml --out a --out b",
                "--out: found 2 times, expected once; see: lime train --help"},
        Mistake{"train c.yaml --out", "--out: found nothing, expected DIR; see: lime train --help"},
        Mistake{"generate --out x --seed -1",
                "--seed: found '-1', expected an integer >= 0; see: lime generate --help"},
        Mistake{"train c.yaml --from ''", "--from: found '', expected a value; see: lime train --help"},
        Mistake{"eval r --days ''", "--days: found '', expected a value; see: lime eval --help"},
        Mistake{"eval ''", "run: found '', expected a value; see: lime eval --help"},
        Mistake{"import csv --out x", "--mapping is required; see: lime import csv --help"},
        Mistake{"help confg", "lime help: unknown topic 'confg' (did you mean 'config'?)"},
        Mistake{"help config modell",
                "lime help config: no key is, or begins with, 'modell' (did you mean 'model'?)"},
        Mistake{"help import cvs", "lime help: unknown topic 'cvs' (did you mean 'csv'?)"},
        Mistake{"help nonsense",
                "lime help: unknown topic 'nonsense', expected config or a command of: lime --help"}));

TEST(Cli, TrainingWithoutItsDatasetLeavesNoRunDirectory) {
  const TempDirectory temp;
  const std::string run_directory = temp.file("runs/first");
  const Outcome outcome = lime_program(
      "train " LIME_SOURCE_DIR "/configs/quickstart.yaml --set data.path=nowhere --out " + run_directory);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("nowhere"));
  EXPECT_FALSE(fs::exists(temp.file("runs")));
}

TEST(Cli, AMistakeOfAllRanksIsOneLine) {
  const Outcome outcome = lime_program_on(3, "train nowhere.yaml --out nowhere");
  EXPECT_EQ(outcome.exit_code, 2);
  ASSERT_EQ(outcome.error_lines().size(), 1u) << outcome.err;
  EXPECT_EQ(outcome.error_lines()[0], "lime: error: nowhere.yaml: cannot be read: No such file or directory");
}

TEST(Cli, OneProcessCommandsRefuseSeveralRanks) {
  const Outcome outcome = lime_program_on(2, "inspect nowhere");
  EXPECT_EQ(outcome.exit_code, 2);
  ASSERT_EQ(outcome.error_lines().size(), 1u) << outcome.err;
  EXPECT_THAT(outcome.error_lines()[0], HasSubstr("lime inspect is one process: found 2 ranks"));
}

TEST(Cli, LatencyIsATableAndFilesOfTheSweepsAskedFor) {
  const TempDirectory temp;
  const Outcome outcome = lime_program(
      "bench latency --models two_tower,lime_xor --candidates 4,2 --history '' --widths '' --base-history 3 "
      "--base-width 8 --items 50 --seconds 0.0001 --out " +
      temp.file("latency"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("candidates  two_tower  lime_xor\n2 "));
  EXPECT_TRUE(fs::exists(temp.file("latency/latency.json")));
  EXPECT_TRUE(fs::exists(temp.file("latency/latency-candidates.svg")));
  EXPECT_FALSE(fs::exists(temp.file("latency/latency-history.svg")));
}

TEST(Cli, HelpUnderMpirunIsPrintedOnce) {
  const Outcome outcome = lime_program_on(2, "train --help");
  EXPECT_EQ(outcome.exit_code, 0);
  const size_t first = outcome.out.find("Usage:");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(outcome.out.find("Usage:", first + 1), std::string::npos);
}

}  // namespace
}  // namespace lime
