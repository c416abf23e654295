#include "serving/served_model.h"

#include <cmath>
#include <filesystem>
#include <utility>

#include "io/item_features.h"
#include "runtime/error.h"

namespace lime {
namespace {

VerifiedCheckpoint find_checkpoint(const RunChoice& choice) {
  const auto alone = make_self_communicator();
  return choose_checkpoint(*alone, choice);
}

Network make_network(Context& ctx, const Config& config, const Dataset& dataset) {
  const auto alone = make_self_communicator();
  return Network(ctx, *alone, without_optimizer_state(config), dataset.schema());
}

}  // namespace

ServingSession::ServingSession(Network& network) : model_(network.model().config(), store_) {
  store_.share(network.parameters());
  if (CachedScoring::supports(model_.config().name)) cached_ = std::make_unique<CachedScoring>(ctx_, model_);
}

ServedModel::ServedModel(const RunChoice& choice)
    : config_(load_run_config(choice)),
      dataset_(Dataset::describe(config_.data.path)),
      features_(resolve_features(dataset_.schema(), config_.features)),
      verified_(find_checkpoint(choice)),
      checkpoint_(std::filesystem::path(directory()).filename().string()),
      network_(make_network(ctx_, config_, dataset_)) {
  ItemFeatures::check(dataset_.schema(), config_.features);
  const auto alone = make_self_communicator();
  load_checkpoint(*alone, verified_, config_, network_, nullptr);
  check_finite();
}

void ServedModel::check_finite() const {
  for (const auto& p : std::as_const(network_).parameters().all()) {
    const float* value = p.value.data<float>();
    for (int64_t i = 0; i < p.value.size(); ++i)
      if (!std::isfinite(value[i]))
        throw UserError(str(directory(), ": parameter ", p.name, " holds ", value[i], " at row ", i / p.cols,
                            ", column ", i % p.cols, ", expected finite numbers"));
  }
  const auto& tables = std::as_const(network_).tables();
  for (size_t t = 0; t < tables.tables().size(); ++t)
    if (const auto id = tables.not_finite(static_cast<int64_t>(t)))
      throw UserError(str(directory(), ": table ", tables.tables()[t].name, ": the row of id ", *id,
                          " holds a NaN or an infinity, expected finite numbers"));
}

ServedModel::Session::Session(const ServedModel& model) : model_(model) {
  {
    const std::lock_guard lock(model.mutex_);
    if (model.free_.empty()) {
      model.free_.reserve(++model.sessions_);  // so that giving one back cannot fail
    } else {
      session_ = std::move(model.free_.back());
      model.free_.pop_back();
    }
  }
  if (session_)
    session_->context().arena().reset();
  else
    session_ = std::make_unique<ServingSession>(model.network_);
}

ServedModel::Session::~Session() {
  const std::lock_guard lock(model_.mutex_);
  model_.free_.push_back(std::move(session_));
}

}  // namespace lime
