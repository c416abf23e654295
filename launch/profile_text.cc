#include "launch/profile_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "launch/text_table.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

std::string share(double part) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * part);
  return text;
}

std::string share(int64_t part, int64_t all) {
  return all == 0 ? "-" : share(static_cast<double>(part) / static_cast<double>(all));
}

std::string number(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", static_cast<double>(value));
  return text;
}

// What there is of the values.
std::string values_of(const FeatureProfile& feature) {
  if (feature.kind == ColumnKind::real) {
    if (feature.percentiles.empty()) return feature.values == 0 ? "no number" : "one number";
    std::string text;
    for (size_t i = 0; i < feature.percentiles.size(); ++i)
      text += str(i == 0 ? "P" : ", P", these_percentiles[i], feature.percentiles[i].less ? " <" : " ",
                  number(feature.percentiles[i].value));
    return text;
  }
  if (feature.values == 0) return "no id";
  std::string text;
  if (feature.distinct == 1)
    return feature.missing == 0 ? str("always ", feature.most_frequent)
                                : str(feature.most_frequent, " or missing");
  if (feature.times * 1000 >= feature.values)
    text = str(feature.most_frequent, " in ", share(feature.times, feature.values));
  if (feature.kind == ColumnKind::ids)
    text +=
        str(text.empty() ? "" : "; ",
            grouped(static_cast<double>(feature.values) / static_cast<double>(feature.rows), 1), " a row");
  return text;
}

// The label that the table is of: a place in `labels`, their number where there is none.
size_t place_of(const std::vector<LabelCount>& labels, const std::string& label) {
  const auto found = std::find_if(labels.begin(), labels.end(), [&](const auto& l) {
    return label.empty() ? l.enough() : l.name == label;
  });
  LIME_CHECK(label.empty() || found != labels.end(), label);
  return found == labels.end() && !labels.empty() ? 0 : static_cast<size_t>(found - labels.begin());
}

// What the column of the table is.
std::string auc_line(const LabelCount& label, size_t labels) {
  if (label.enough())
    return str("AUC: of ", label.name, ", by the value of the feature alone",
               labels > 1 ? str("; there are ", labels, " labels (--label)") : "", "\n");
  return str("no AUC of ", label.name, ": found ", grouped(label.positives), " positive candidates and ",
             grouped(label.negatives), " others, expected ", least_of_a_kind, " of each\n");
}

// Of more ids than have cells, the AUC is too near 0.5.
std::string auc_of(const FeatureProfile& feature, size_t label) {
  if (feature.auc.empty()) return "";
  const bool all_ids = feature.distinct <= static_cast<int64_t>(ValueRates::kept);
  return str(all_ids || std::isnan(feature.auc[label]) ? "" : "~", grouped(feature.auc[label], 3));
}

std::string giveaway_lines(const std::vector<Giveaway>& giveaways) {
  std::string text;
  for (const auto& found : giveaways)
    text += str(to_string(found.side), ".", found.feature, " alone has an AUC of ", grouped(found.auc, 3),
                " of ", found.label, ": is it known before ", found.label, " is? If not, leave it out\n");
  return text;
}

}  // namespace

std::string to_text(const DatasetProfile& profile, const std::string& label, size_t most_days) {
  std::string text = str("features of ", profile.days.size(), profile.days.size() == 1 ? " day, " : " days, ",
                         grouped(profile.requests), " requests, ", grouped(profile.candidates),
                         " candidates; of histories the last ", profiled_events, " events\n");
  const size_t l = place_of(profile.labels, label);
  if (l < profile.labels.size()) text += auc_line(profile.labels[l], profile.labels.size());
  std::vector<std::vector<std::string>> features = {
      {"", "missing", "distinct", "AUC", "most frequent id, or percentiles of numbers"}};
  for (const auto& feature : profile.features)
    features.push_back({str("  ", feature.name, " (", to_string(feature.kind), ")"),
                        share(feature.missing, feature.rows),
                        feature.kind == ColumnKind::real
                            ? ""
                            : str(feature.distinct_is_exact ? "" : "~", grouped(feature.distinct)),
                        auc_of(feature, l), values_of(feature)});
  text += aligned_table(features, 4);
  text += giveaway_lines(profile.giveaways);
  if (profile.unlike.empty()) {
    if (profile.compared > 1)
      text += "no day is unlike the usual one\n";
    else if (profile.days.size() > 1)
      text += str("days are not compared: that takes two of ", users_of_a_day, " users each\n");
    return text;
  }
  text += "days unlike the usual one, by the share of their rows that would have to change:\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& day : profile.unlike) {
    if (rows.size() == most_days) break;
    rows.push_back({str("  ", day.day, " ", day.feature), share(day.distance)});
    if (std::abs(day.missing - day.usually_missing) >= 0.005)
      rows.back().push_back(
          str("missing in ", share(day.missing), ", usually in ", share(day.usually_missing)));
  }
  text += aligned_table(rows);
  if (profile.unlike.size() > rows.size())
    text += str("  and ", profile.unlike.size() - rows.size(), " more\n");
  return text;
}

}  // namespace lime
