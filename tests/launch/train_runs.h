// A generated log and a configuration for tests of whole runs of `lime train`, with the run directories
// beside it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/hdf5_file.h"
#include "runtime/error.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {

inline constexpr const char* train_config_text = R"(
model: {name: lime_xor, width: 16, heads: 2, links: 4, blocks: 2, head_hidden: 8, max_positions: 16}
tasks: [click]
train: {batch_requests: 16, micro_batches: 4, log_every: 1, checkpoint_every: 0, clip_norm: 1, bucket_mb: 0.01}
)";

// One generated log for all tests of this program, and run directories beside it.
class Train : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    generate_log(path("data"));
    write_file(path("config.yaml"),
               str("data: {path: ", path("data"), ", train: 2024-01-01..2024-01-02, max_history: 20}\n",
                   small_log_features, train_config_text));
  }
  static void TearDownTestSuite() {
    delete temp_;
    temp_ = nullptr;
  }

  static std::string path(const std::string& name) { return temp_->file(name); }
  static std::string train_command(const std::string& run, const std::string& settings = "") {
    return str("train ", path("config.yaml"), " --out ", path(run),
               settings.empty() ? "" : " --set " + settings);
  }
  static void train(int ranks, const std::string& run, const std::string& settings = "") {
    const Outcome outcome = ranks == 1 ? lime_program(train_command(run, settings))
                                       : lime_program_on(ranks, train_command(run, settings));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  // Sends the signal as soon as the shell's condition holds, on a machine of any speed.
  static Outcome train_until(const std::string& condition, const char* signal, const std::string& run,
                             const std::string& settings, const std::string& launcher = "") {
    return run_command(str(launcher, " ", LIME_PROGRAM, " ", train_command(run, settings), " & until ",
                           condition, " || ! kill -0 $!; do sleep 0.01; done; kill -s ", signal,
                           " $!; wait $!"));
  }
  static void resume(int ranks, const std::string& run, const std::string& settings) {
    const Outcome outcome = lime_program_on(ranks, str("train --resume ", path(run), " --set ", settings));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  // 12 steps on 4 ranks, and on 2, 4 and 1 with resumes between, end with these digests.
  static void expect_on_any_ranks(const std::string& name, const std::string& settings,
                                  const std::string& expected) {
    train(4, name + "_4", "train.max_steps=12" + settings);
    train(2, name + "_parts", "train.max_steps=5" + settings);
    resume(4, name + "_parts", "train.max_steps=8");
    resume(1, name + "_parts", "train.max_steps=12");
    EXPECT_EQ(expected, digests(name + "_4", 12));
    EXPECT_EQ(expected, digests(name + "_parts", 12));
  }
  // Eight parts for eight ranks, of which some have no user, and fewer requests in the last steps than ranks.
  static std::string few_users() {
    const std::string data = path("few");
    if (!std::filesystem::exists(data)) generate_log(data, {.users = 5, .requests = 4, .parts = 8});
    return data;
  }
  static std::string checkpoint(const std::string& run, int step) {
    std::string number = std::to_string(step);
    return path(run + "/checkpoints/step-" + std::string(9 - number.size(), '0') + number);
  }
  // Parameters, tables, optimizer state and reader positions as digests.
  static std::string digests(const std::string& run, int step) {
    return checkpoint_digests(checkpoint(run, step));
  }
  static std::vector<nlohmann::json> metrics(const std::string& run) {
    std::vector<nlohmann::json> lines;
    std::ifstream file(path(run + "/metrics.jsonl"));
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  // Of the dense parameters of two runs.
  static double relative_difference(const std::string& one, const std::string& other, int step) {
    const Hdf5File a(checkpoint(one, step) + "/dense.h5", Hdf5File::Mode::read);
    const Hdf5File b(checkpoint(other, step) + "/dense.h5", Hdf5File::Mode::read);
    const auto names = a.list("/parameters");
    EXPECT_GT(names.size(), 10u);
    double difference = 0, size = 0;
    for (const auto& name : names) {
      const auto x = a.read<float>("/parameters/" + name), y = b.read<float>("/parameters/" + name);
      EXPECT_EQ(x.size(), y.size());
      for (size_t i = 0; i < x.size(); ++i) {
        difference += std::pow(double{x[i]} - double{y[i]}, 2);
        size += std::pow(double{x[i]}, 2);
      }
    }
    return std::sqrt(difference / size);
  }
  // Of the rows of a table, which must have the same ids. Both of one rank.
  static double table_difference(const std::string& one, const std::string& other, int step,
                                 const std::string& table) {
    const Hdf5File a(checkpoint(one, step) + "/tables-00000-of-00001.h5", Hdf5File::Mode::read);
    const Hdf5File b(checkpoint(other, step) + "/tables-00000-of-00001.h5", Hdf5File::Mode::read);
    EXPECT_EQ(a.read<int64_t>("/" + table + "/id"), b.read<int64_t>("/" + table + "/id"));
    double difference = 0, size = 0;
    for (const char* what : {"/value", "/state"}) {
      const auto x = a.read<float>("/" + table + what), y = b.read<float>("/" + table + what);
      EXPECT_EQ(x.size(), y.size());
      for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
        difference += std::pow(double{x[i]} - double{y[i]}, 2);
        size += std::pow(double{x[i]}, 2);
      }
    }
    return std::sqrt(difference / size);
  }

 private:
  static inline TempDirectory* temp_ = nullptr;
};

}  // namespace lime
