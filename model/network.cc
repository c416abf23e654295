#include "model/network.h"

#include <algorithm>
#include <utility>

#include "model/device_transfer.h"
#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {
namespace {

// One id feature's place: which table feeds which columns of its group's input matrix.
struct Feature {
  int64_t table = 0;
  Pooling pooling = Pooling::mean;
  int64_t column = 0;  // first column
  int64_t dim = 0;
};

// History, candidates or user: id features side by side, then the real columns.
struct InputGroup {
  std::vector<Feature> features;
  int64_t real = 0;
  int64_t width = 0;
};

FeatureIds ids_of(const Feature& feature, const IdColumn& column) {
  return {feature.table, feature.pooling, column.ids, column.offsets};
}

class TablePlan {
 public:
  explicit TablePlan(const EmbeddingConfig& config) : config_(config) {}

  InputGroup group(const std::vector<ResolvedFeature>& resolved, int64_t real) {
    InputGroup group;
    for (const auto& feature : resolved) {
      if (feature.kind == ColumnKind::real) continue;
      const int64_t table = table_of(feature.name);
      const auto pooling = config_.pooling.find(feature.name);
      const int64_t dim = tables_[static_cast<size_t>(table)].dim;
      group.features.push_back(
          {table, pooling == config_.pooling.end() ? Pooling::mean : pooling->second, group.width, dim});
      group.width += dim;
    }
    group.real = real;
    group.width += real;
    return group;
  }
  std::vector<TableConfig> take() { return std::move(tables_); }

 private:
  int64_t table_of(const std::string& feature) {
    const std::string name = lime::table_of(config_, feature);
    for (size_t t = 0; t < tables_.size(); ++t)
      if (tables_[t].name == name) return static_cast<int64_t>(t);
    tables_.push_back(table_config(config_, name));
    return static_cast<int64_t>(tables_.size()) - 1;
  }

  const EmbeddingConfig& config_;
  std::vector<TableConfig> tables_;
};

}  // namespace

struct Network::Impl {
  explicit Impl(Context& context) : ctx(context), transfer(context) {}

  Context& ctx;
  Context host;  // for copies within the host
  InputGroup history, candidate, user;
  int64_t tasks = 0;
  ParameterStore parameters;
  std::unique_ptr<RankingModel> model;
  std::unique_ptr<EmbeddingCollection> tables;
  DeviceInput transfer;
  ModelInput input;  // of the last forward, for its backward
  Communicator* parts = nullptr;

  // The three groups with the micro-batch's rows for each, in the order that features are numbered in a
  // lookup.
  template <typename Visit>
  void for_each_group(const MicroBatch& batch, Visit&& visit) const {
    visit(history, batch.history);
    visit(candidate, batch.candidate);
    visit(user, batch.user);
  }

  const InputGroup& group(Network::Group which) const {
    return which == Network::Group::history ? history : which == Network::Group::user ? user : candidate;
  }

  // The dense network's input or its gradient, uninitialised. On a device rows begin where packs of columns
  // do, whatever the number of columns.
  View input_like(int64_t rows, int64_t width) const {
    constexpr int64_t pack = 8;
    const int64_t stride = ctx.device() == Device{} ? width : (width + pack - 1) / pack * pack;
    return ctx.alloc(rows, stride).slice_cols(0, width);
  }

  View assemble(const Lookup& lookup, int64_t index, int64_t first_feature, const InputGroup& group,
                const FeatureColumns& columns, int64_t rows) {
    const View out = input_like(rows, group.width);
    int64_t f = first_feature;
    for (const auto& feature : group.features)
      tables->gather(ctx, lookup, index, f++, out.slice_cols(feature.column, feature.column + feature.dim));
    if (group.real > 0)
      transfer.send(out.slice_cols(group.width - group.real, group.width), [&](View columns_on_host) {
        copy(host, ConstView(columns.real.data(), rows, group.real), columns_on_host);
      });
    return out;
  }

  View per_candidate(const std::vector<float>& values, int64_t rows) {
    return transfer.send(ctx.parameter_dtype(), rows, tasks,
                         [&](View out) { copy(host, ConstView(values.data(), rows, tasks), out); });
  }

  void scatter(Lookup& lookup, int64_t index, int64_t first_feature, const InputGroup& group,
               const ConstView& gradient) const {
    int64_t f = first_feature;
    for (const auto& feature : group.features)
      tables->add_gradient(ctx, lookup, index, f++,
                           gradient.slice_cols(feature.column, feature.column + feature.dim), true);
  }

  int64_t candidate_begin() const { return static_cast<int64_t>(history.features.size()); }
  int64_t user_begin() const { return candidate_begin() + static_cast<int64_t>(candidate.features.size()); }
};

Network::Network(Context& ctx, Communicator& comm, const Config& config, const DatasetSchema& schema,
                 Communicator* on_device)
    : impl_(std::make_unique<Impl>(ctx)) {
  const ResolvedSpec spec = resolve_features(schema, config.features);
  TablePlan plan(config.embeddings);
  impl_->history = plan.group(spec.history, spec.history_real);
  impl_->candidate = plan.group(spec.candidate, spec.candidate_real);
  impl_->user = plan.group(spec.user, spec.user_real);
  impl_->tasks = static_cast<int64_t>(config.tasks.size());

  RankingModelConfig model = config.model;
  model.history_features = impl_->history.width;
  model.candidate_features = impl_->candidate.width;
  model.user_features = impl_->user.width;
  model.tasks = impl_->tasks;
  impl_->model = std::make_unique<RankingModel>(model, impl_->parameters);
  impl_->parameters.allocate(ctx, config.seed);
  impl_->tables = std::make_unique<EmbeddingCollection>(ctx, comm, plan.take(), config.seed, on_device,
                                                        config.embeddings.memory);
}

Network::~Network() = default;

ParameterStore& Network::parameters() { return impl_->parameters; }
const ParameterStore& Network::parameters() const { return impl_->parameters; }
RankingModel& Network::model() { return *impl_->model; }
EmbeddingCollection& Network::tables() { return *impl_->tables; }
const EmbeddingCollection& Network::tables() const { return *impl_->tables; }
Context& Network::context() const { return impl_->ctx; }

void Network::share_histories(Communicator* ranks) { impl_->parts = ranks; }

std::unique_ptr<Lookup> Network::begin_lookup(const std::vector<MicroBatch>& batches, bool insert) {
  std::vector<std::vector<FeatureIds>> features(batches.size());
  for (size_t m = 0; m < batches.size(); ++m)
    impl_->for_each_group(batches[m], [&](const InputGroup& group, const FeatureColumns& columns) {
      LIME_CHECK(batches[m].empty() || columns.id_columns.size() == group.features.size());
      for (size_t f = 0; f < group.features.size(); ++f) {
        features[m].push_back(batches[m].empty() ? ids_of(group.features[f], {})
                                                 : ids_of(group.features[f], columns.id_columns[f]));
      }
    });
  return impl_->tables->begin_lookup(std::move(features), insert);
}

int64_t Network::input_width(Group group) const { return impl_->group(group).width; }

void Network::read_input(Group which, const FeatureColumns& columns, View out) const {
  const InputGroup& group = impl_->group(which);
  LIME_CHECK(columns.id_columns.size() == group.features.size() && out.cols() == group.width &&
                 static_cast<int64_t>(columns.real.size()) == out.rows() * group.real,
             "columns of ", out.rows(), "x", out.cols(), " inputs");
  for (size_t f = 0; f < group.features.size(); ++f) {
    const Feature& feature = group.features[f];
    impl_->tables->read(ids_of(feature, columns.id_columns[f]),
                        out.slice_cols(feature.column, feature.column + feature.dim));
  }
  const float* real = columns.real.data();
  for (int64_t r = 0; r < out.rows() && group.real > 0; ++r, real += group.real)
    std::copy_n(real, group.real, out.row<float>(r) + group.width - group.real);
}

View Network::forward(Context& ctx, const Lookup& lookup, const MicroBatch& batch, int64_t index,
                      Targets* targets) {
  Impl& im = *impl_;
  im.transfer.begin();
  im.input.history_offsets = im.transfer.send(batch.history_offsets);
  im.input.candidate_offsets = im.transfer.send(batch.candidate_offsets);
  im.input.parts = {};
  if (!batch.whole_offsets.empty()) {
    LIME_CHECK(im.parts, "parts of histories, and nobody who has the others");
    im.input.parts = {im.parts, im.transfer.send(batch.whole_offsets), im.transfer.send(batch.later_offsets)};
  }
  const int64_t rows = im.input.history_offsets.rows(), candidates = im.input.candidate_offsets.rows();
  {
    TraceRange range(ctx, "gather");
    im.input.history = im.assemble(lookup, index, 0, im.history, batch.history, rows);
    im.input.candidates =
        im.assemble(lookup, index, im.candidate_begin(), im.candidate, batch.candidate, candidates);
    im.input.user = im.assemble(lookup, index, im.user_begin(), im.user, batch.user, batch.requests());
  }
  if (targets)
    *targets = {im.per_candidate(batch.labels, candidates), im.per_candidate(batch.weights, candidates)};
  im.transfer.arrive();
  View logits = ctx.alloc_parameter(candidates, im.tasks);
  im.model->forward(ctx, im.input, logits);
  return logits;
}

void Network::backward(Context& ctx, Lookup& lookup, int64_t index, const ConstView& dlogits) {
  Impl& im = *impl_;
  const auto like = [&](const ConstView& x) { return im.input_like(x.rows(), x.cols()); };
  const ModelInputGrad gradient{like(im.input.history), like(im.input.candidates), like(im.input.user)};
  im.model->backward(ctx, dlogits, gradient);
  TraceRange range(ctx, "scatter");
  im.scatter(lookup, index, 0, im.history, gradient.history);
  im.scatter(lookup, index, im.candidate_begin(), im.candidate, gradient.candidates);
  im.scatter(lookup, index, im.user_begin(), im.user, gradient.user);
}

}  // namespace lime
