#include "io/reading_order.h"

#include "io/import_values.h"
#include "runtime/error.h"

namespace lime {

ReadingOrder reading_order(const Dataset& dataset, const std::vector<std::string>& days,
                           int64_t shuffle_window) {
  ReadingOrder order{shuffle_window, {}, static_cast<int64_t>(dataset.imports().size())};
  for (const auto& day : days) {
    std::string requests;
    for (const int64_t n : dataset.day(day).part_requests) requests += str(n, " ");
    order.days.emplace_back(day, hashed_id(requests));
  }
  return order;
}

Dataset as_read(const Dataset& dataset, const ReadingOrder& before, const std::vector<std::string>& days) {
  if (before.imports == 0) return dataset;
  for (const auto& day : days)
    if (dataset.day(day).import >= before.imports) return dataset;
  return dataset.as_of(before.imports);
}

void refuse_other_order(const ReadingOrder& before, const ReadingOrder& now, const std::string& where) {
  const auto refuse = [&](const std::string& found) {
    throw UserError(str(where, " stands within an epoch: ", found,
                        ", so its place is lost; expected the same data, or a run that begins anew"));
  };
  const auto window = [](int64_t requests) {
    return requests == 0 ? std::string("not shuffled") : str("shuffled in windows of ", requests);
  };
  if (before.shuffle_window != now.shuffle_window)
    refuse(
        str("requests were ", window(before.shuffle_window), ", and now are ", window(now.shuffle_window)));
  for (size_t d = 0; d < before.days.size(); ++d) {
    const auto& [day, requests] = before.days[d];
    if (d == now.days.size()) refuse(str("data.train lacks ", day));
    if (now.days[d].first != day) refuse(str("data.train has ", now.days[d].first, " in the place of ", day));
    if (now.days[d].second != requests) refuse(str(day, " has other requests or parts than it had"));
  }
}

}  // namespace lime
