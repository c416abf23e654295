// ScoringRequest: what a model has to know of one request besides its candidates, feature by feature.
//
// Features are those of features.history and features.user in the run's configuration, by name. A history
// feature has one value (or list of values) an event, oldest event first; a user feature has one. What is not
// set is missing, as in training: no event; a user's id -1, an empty list, no number.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/batch.h"
#include "io/reader.h"

namespace lime {

class ScoringRequest {
 public:
  enum class Group : uint8_t { history, user };

  // Scorer::make_request() makes them.
  ScoringRequest(const ResolvedSpec&, int64_t age_buckets, int64_t max_history);

  // Each throws UserError naming the feature where there is none of that name and kind, or a number is
  // infinite. NaN is a missing number. Numbers are given as the dataset stores them: log(1 + x) where the
  // mapping says log1p, or the importer takes it (KuaiRand: of all). In buckets the model puts them itself.
  void set_ids(Group, const std::string& feature, std::span<const int64_t> ids);
  // Row i has the ids [offsets[i], offsets[i+1]).
  void set_lists(Group, const std::string& feature, std::span<const int64_t> ids,
                 std::span<const int64_t> offsets);
  void set_reals(Group, const std::string& feature, std::span<const float> values);
  // The history feature "age", from times in ms; nothing where the model has no such feature.
  void set_ages(int64_t request_ms, std::span<const int64_t> event_ms);
  // Request `row` of a batch, as the reader made it.
  void assign(const MicroBatch&, int64_t row);
  void clear();

  int64_t events() const { return history_.rows; }
  const FeatureColumns& history() const { return history_.columns; }
  const FeatureColumns& user() const { return user_.columns; }
  // Throws UserError where history features differ in their number of events, or there are more than the
  // model reads.
  void check() const;
  // Throws UserError where it was made for another model: from other features than these, other buckets of
  // age, or for histories of another length.
  void check_made_for(const ResolvedSpec&, int64_t age_buckets, int64_t max_history) const;

 private:
  struct Values {
    explicit Values(const char* group) : key(group) {}
    const char* key;  // "history"
    std::vector<ResolvedFeature> features;
    std::vector<int64_t> rows_of;              // by feature: as set; -1: not set
    std::vector<std::vector<float>> reals_of;  // by feature, of the real ones: as set
    int64_t rows = 0;                          // of the last one set
    int64_t real_width = 0;
    FeatureColumns columns;
  };
  Values& values(Group group) { return group == Group::history ? history_ : user_; }
  static size_t find(const Values&, const std::string& feature, ColumnKind);
  static IdColumn& id_column(Values&, size_t feature);
  static void join_reals(Values&);   // reals_of to columns.real
  static void split_reals(Values&);  // and back
  static void set_rows(Values&, size_t feature, int64_t rows);
  static void clear(Values&, int64_t rows);
  bool has_ages() const;  // a history feature "age"

  Values history_{"history"}, user_{"user"};
  int64_t age_buckets_, max_history_;
};

}  // namespace lime
