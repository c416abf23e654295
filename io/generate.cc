#include "io/generate.h"

#include "io/generate_truth.h"
#include "io/generate_user.h"
#include "io/import_rows.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr int64_t ms_per_hour = 3'600'000;

DatasetSchema make_schema(const GenerateOptions& options) {
  DatasetSchema schema;
  schema.name = options.name;
  schema.source = str("generate seed=", options.seed, " topics=", options.topics,
                      " interest=", options.interest, " action_noise=", options.action_noise,
                      " exposure=", options.exposure, " signal_lag=", options.signal_lag);
  schema.columns = {{"action", ColumnGroup::event, ColumnKind::id},
                    {"hour", ColumnGroup::request, ColumnKind::id},
                    {"segment", ColumnGroup::user, ColumnKind::id},
                    {"topic", ColumnGroup::item, ColumnKind::id}};
  schema.labels = {"click"};
  schema.weights = {"watch_time"};
  return schema;
}

// What is known by construction, from a first pass over the users: the dataset's description is written
// before its rows.
struct Truth {
  std::vector<ExpectedAuc> bayes;  // by day
  ExpectedAuc no_history;          // of the last day
};

void report_progress(const GenerateOptions& options, const char* phase, int64_t users) {
  if (users % 128 == 0 && options.writer.progress)
    options.writer.progress(phase, static_cast<double>(users) / static_cast<double>(options.users));
}

Truth find_truth(const UserGenerator& generator, const GenerateOptions& options) {
  Truth truth;
  truth.bayes.resize(static_cast<size_t>(options.days));
  const auto per_day = static_cast<size_t>(options.requests_per_user_per_day * options.candidates);
  SyntheticUser user;
  for (int64_t u = 0; u < options.users; ++u) {
    generator.make(u, user);
    report_progress(options, "reachable AUC", u);
    for (size_t c = 0; c < user.candidates.size(); ++c) {
      const auto& candidate = user.candidates[c];
      truth.bayes[c / per_day].add(candidate.probability, candidate.probability);
      if (c / per_day + 1 == truth.bayes.size())
        truth.no_history.add(candidate.without_history, candidate.probability);
    }
  }
  return truth;
}

class UserWriter {
 public:
  UserWriter(const UserGenerator& generator, const GenerateOptions& options,
             const std::vector<std::string>& days, DatasetWriter& writer, LabelMeans& means)
      : options_(options), days_(days), writer_(writer), means_(means), generator_(generator) {
    event_.values.ids.resize(1);
    request_.values.ids.resize(1);
    request_.candidates.resize(static_cast<size_t>(options.candidates));
    for (auto& candidate : request_.candidates) {
      candidate.labels.resize(1);
      candidate.weights.resize(1);
    }
  }

  void write(int64_t id) {
    generator_.make(id, user_);
    writer_.add_user(id, {{user_.segment}, {}, {}});
    for (const auto& event : user_.events) {
      event_.user = id;
      event_.time_ms = event.time_ms;
      event_.item = event.item;
      event_.values.ids[0] = event.click ? 1 : 0;
      writer_.add_event(event_);
    }
    size_t next = 0;
    for (size_t r = 0; r < user_.request_times.size(); ++r) {
      request_.user = id;
      request_.time_ms = user_.request_times[r];
      request_.day = days_[r / static_cast<size_t>(options_.requests_per_user_per_day)];
      request_.values.ids[0] = request_.time_ms / ms_per_hour % 24;
      for (auto& row : request_.candidates) {
        const auto& candidate = user_.candidates[next++];
        row.item = candidate.item;
        row.labels[0] = candidate.click ? 1.0F : 0.0F;
        row.weights[0] = candidate.watch_time;
      }
      means_.add(request_);
      writer_.add_request(request_);
    }
  }

 private:
  const GenerateOptions& options_;
  const std::vector<std::string>& days_;
  DatasetWriter& writer_;
  LabelMeans& means_;
  const UserGenerator& generator_;
  SyntheticUser user_;
  EventRow event_;
  RequestRow request_;
};

}  // namespace

GenerateReport generate(const GenerateOptions& options) {
  const UserGenerator generator(options);
  DatasetSchema schema = make_schema(options);
  GenerateReport report;
  for (int64_t day = 0; day < options.days; ++day)
    report.day_names.push_back(format_day(generator.first_day() + day));

  const Truth truth = find_truth(generator, options);
  for (size_t day = 0; day < truth.bayes.size(); ++day) {
    report.day_bayes_auc.push_back(truth.bayes[day].value());
    schema.facts["bayes_auc_" + report.day_names[day]] = report.day_bayes_auc[day];
  }
  report.bayes_auc = schema.facts["bayes_auc"] = report.day_bayes_auc.back();
  report.no_history_auc = schema.facts["no_history_auc"] = truth.no_history.value();

  DatasetWriter writer(options.out, schema, options.writer);
  LabelMeans means(schema.labels.size());
  UserWriter users(generator, options, report.day_names, writer, means);
  for (int64_t u = 0; u < options.users; ++u) {
    users.write(u);
    report_progress(options, "generate", u);
  }
  for (int64_t item = 0; item < options.items; ++item)
    writer.add_item(item, {{generator.topic(item)}, {}, {}});
  describe(writer.finish(), means, report);
  return report;
}

}  // namespace lime
