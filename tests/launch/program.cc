#include "tests/launch/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {

std::vector<std::string> Outcome::error_lines() const {
  std::vector<std::string> lines;
  std::istringstream text(err);
  for (std::string line; std::getline(text, line);)
    if (line.find("lime: error: ") != std::string::npos) lines.push_back(line);
  return lines;
}

Outcome run_command(const std::string& command) {
  const TempDirectory temp;
  const std::string out = temp.file("out"), err = temp.file("err");
  const auto begin = std::chrono::steady_clock::now();
  const int status = std::system(str("{ ", command, " ; } >", out, " 2>", err, " </dev/null").c_str());
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err), elapsed.count()};
}

Outcome lime_program(const std::string& arguments) { return run_command(str(LIME_PROGRAM, " ", arguments)); }

Outcome lime_program_on(int ranks, const std::string& arguments) {
  return run_command(str(LIME_MPIEXEC, " -np ", ranks, " ", LIME_PROGRAM, " ", arguments));
}

std::string lime_job_with_one_rank(int ranks, int rank, const std::string& shell,
                                   const std::string& arguments) {
  return str(LIME_MPIEXEC, " -np ", ranks, " sh -c 'if [ $OMPI_COMM_WORLD_RANK = ", rank, " ]; then ", shell,
             "; fi; exec ", LIME_PROGRAM, " ", arguments, "'");
}

void expect_mistake(const std::string& arguments, const std::string& says) {
  const Outcome outcome = lime_program(arguments);
  EXPECT_EQ(outcome.exit_code, 2) << arguments << "\n" << outcome.err;
  ASSERT_EQ(outcome.error_lines().size(), 1u) << arguments << "\n" << outcome.err;
  EXPECT_THAT(outcome.error_lines()[0], testing::HasSubstr(says)) << arguments;
}

void generate_log(const std::string& directory, const SmallLog& log) {
  const Outcome made = lime_program(
      str("generate --users ", log.users, " --requests ", log.requests, " --parts ", log.parts,
          " --items 50 --days ", log.days,
          " --candidates 3 --history-min 0 --history-max 40 --history-mean 12 --out ", directory));
  LIME_CHECK(made.exit_code == 0, made.err);
}

const char* const small_log_features = R"(
features: {history: [item, action, age], candidate: [item, topic], user: [user, hour, segment]}
embeddings: {dim: 8, optimizer: adagrad, learning_rate: 0.05, tables: {segment: {optimizer: adam, learning_rate: 0.01}}}
)";

std::string checkpoint_digests(const std::string& directory) {
  const Outcome outcome = lime_program("inspect --digests " + directory);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, testing::HasSubstr("/item rows"));
  return outcome.out;
}

double held_out_auc(const std::string& run) {
  const auto evaluations = nlohmann::json::parse(read_file(run + "/eval.json"));
  return evaluations.at(0).at("tasks").at(0).at("all").at("auc").get<double>();
}

}  // namespace lime
