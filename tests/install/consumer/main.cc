// Another project's program, linked against an installed LIME-train: prints how many parameters a small model
// has.
#include <iostream>

#include "io/dataset.h"
#include "layers/ranking_model.h"

int main(int argc, char** argv) {
  lime::RankingModelConfig config;
  config.history_features = config.candidate_features = config.user_features = 4;
  lime::ParameterStore parameters;
  const lime::RankingModel model(config, parameters);
  std::cout << parameters.all().size() << " parameters\n";
  if (argc > 1) std::cout << lime::Dataset::open(argv[1]).users() << " users\n";
}
