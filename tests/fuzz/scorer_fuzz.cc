// Calls of the C interface in any order, with any values, null pointers and sizes that do not fit. A request
// that is scored has the logits of a new one with the same values: what calls failed, or were overwritten,
// leaves nothing.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>

#include "io/feature_columns.h"
#include "serving/build_item_cache.h"
#include "serving/lime_scorer.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/small_run.h"

namespace lime::fuzz {
namespace {

constexpr const char* features[] = {"item", "topics", "action", "dwell", "speed",
                                    "age",  "user",   "hour",   "mood",  "none"};
constexpr size_t most_rows = 8;

struct Scorers {
  SmallRun run{scratch() + "/served"};
  lime_scorer* with_cache = nullptr;
  lime_scorer* without = nullptr;

  Scorers() {
    const std::string cache = scratch() + "/served/cache.h5";
    const ServedModel model({run.directory, "", "", {}});
    const std::vector<int64_t> items = {0, 1, 2, 3};  // two are not cached
    build_item_cache(model, items, "", RowType::i8, cache);
    lime_scorer_options options{};
    options.run = run.directory.c_str();
    require(lime_scorer_open(&options, &without) == LIME_OK, lime_last_error());
    options.cache = cache.c_str();
    require(lime_scorer_open(&options, &with_cache) == LIME_OK, lime_last_error());
  }
  ~Scorers() {
    lime_scorer_close(with_cache);
    lime_scorer_close(without);
  }
};

// What was set last of each feature.
struct Values {
  int kind = 0;
  std::vector<int64_t> ids, offsets;
  std::vector<float> reals;
};
using Model = std::map<std::pair<int, std::string>, Values>;

int set(lime_request* request, int group, const std::string& feature, const Values& values) {
  const size_t rows = values.kind == 1 ? values.offsets.size() - 1 : values.ids.size();
  if (values.kind == 0) return lime_request_set_ids(request, group, feature.c_str(), values.ids.data(), rows);
  if (values.kind == 1)
    return lime_request_set_lists(request, group, feature.c_str(), values.ids.data(), values.offsets.data(),
                                  rows);
  return lime_request_set_reals(request, group, feature.c_str(), values.reals.data(), values.reals.size());
}

Values some_values(Input& input) {
  Values values;
  values.kind = input.byte() % 3;
  const size_t rows = input.byte() % most_rows;
  for (size_t i = 0; i < rows; ++i) values.ids.push_back(input.number());
  if (values.kind == 1) {
    values.offsets = {input.byte() % 8 == 1 ? input.number() : 0};
    for (size_t i = 0; i < rows; ++i)
      values.offsets.push_back(input.byte() < 230 ? static_cast<int64_t>(i + 1) : input.number());
    // The array is as long as the last offset says: that is the caller's to see to.
    values.offsets.back() = std::min<int64_t>(values.offsets.back(), 64);
    values.ids.resize(static_cast<size_t>(std::max<int64_t>(values.offsets.back(), 0)));
  }
  if (values.kind == 2)
    for (size_t i = 0; i < rows; ++i) {
      const auto bits = static_cast<uint32_t>(input.bits(4));
      float value = 0;
      std::memcpy(&value, &bits, sizeof value);
      values.reals.push_back(input.byte() < 200 && !std::isfinite(value) ? 0.5F : value);
    }
  return values;
}

// Codes and messages that go together.
int checked(int code) {
  require(code == LIME_OK || code == LIME_USER_ERROR, "an error of the program's own: ", lime_last_error());
  if (code != LIME_OK) {
    const std::string message = lime_last_error();
    check_message(message, "");
    for (const char c : message)
      require(static_cast<unsigned char>(c) >= ' ', "more than one line: ", message);
  }
  return code;
}

std::optional<std::vector<float>> logits_of(const lime_scorer* scorer, const lime_request* request,
                                            const std::vector<int64_t>& items) {
  std::vector<float> logits(items.size() * 2, 0.0F);
  lime_counts counts{};
  if (checked(lime_scorer_score(scorer, request, items.data(), items.size(), logits.data(), &counts)) !=
      LIME_OK)
    return std::nullopt;
  require(counts.cached + counts.uncached == static_cast<int64_t>(items.size()), "candidates were lost");
  return logits;
}

void score(const lime_scorer* scorer, const lime_request* request, const Model& model, Input& input) {
  std::vector<int64_t> items;
  for (size_t n = input.byte() % most_rows; n > 0; --n) items.push_back(input.number());
  const auto logits = logits_of(scorer, request, items);
  lime_request* again = nullptr;
  require(lime_request_make(scorer, &again) == LIME_OK, lime_last_error());
  for (const auto& [key, values] : model) checked(set(again, key.first, key.second, values));
  const auto expected = logits_of(scorer, again, items);
  lime_request_free(again);
  require(logits == expected, "a new request with the same values has other logits");
}

void top(const lime_scorer* scorer, const lime_request* request, Input& input) {
  std::vector<int64_t> items;
  for (size_t n = input.byte() % most_rows; n > 0; --n) items.push_back(input.number());
  const int64_t k = input.number(), task = input.number() % 4;
  std::vector<int64_t> best(items.size());
  std::vector<float> logits(items.size());
  size_t found = 99;
  if (checked(lime_scorer_top(scorer, request, items.data(), items.size(), k, task, best.data(),
                              logits.data(), &found, nullptr)) != LIME_OK)
    return;
  require(found == std::min(items.size(), static_cast<size_t>(k)), "not the k best");
  for (size_t i = 1; i < found; ++i) require(logits[i - 1] >= logits[i], "not in order");
}

void with_nulls(lime_scorer* scorer, lime_request* request, uint8_t which) {
  const int64_t one[] = {0, 1};
  const float real[] = {1};
  size_t found = 0;
  lime_request* made = nullptr;
  const auto refused = [](int code) {
    require(checked(code) == LIME_USER_ERROR, "a null pointer passed for one");
  };
  switch (which % 14) {
    case 0:
      return refused(lime_scorer_open(nullptr, &scorer));
    case 1:
      return refused(lime_request_make(nullptr, &made));
    case 2:
      return refused(lime_request_make(scorer, nullptr));
    case 3:
      return refused(lime_request_set_ids(nullptr, LIME_USER, "user", one, 1));
    case 4:
      return refused(lime_request_set_ids(request, LIME_USER, nullptr, one, 1));
    case 5:
      return refused(lime_request_set_ids(request, LIME_USER, "user", nullptr, SIZE_MAX));
    case 6:
      return refused(lime_request_set_lists(request, LIME_HISTORY, "topics", one, one, SIZE_MAX));
    case 7:
      return refused(lime_request_set_lists(request, LIME_HISTORY, "topics", nullptr, one, 1));
    case 8:
      return refused(lime_request_set_reals(request, LIME_USER, "mood", nullptr, 1));
    case 9:
      return refused(lime_request_set_ages(request, 0, nullptr, 3));
    case 10:
      return refused(lime_scorer_score(nullptr, request, one, 1, nullptr, nullptr));
    case 11:
      return refused(lime_scorer_score(scorer, nullptr, one, 1, nullptr, nullptr));
    case 12:
      return refused(lime_scorer_top(scorer, request, one, 1, 1, 0, nullptr, nullptr, nullptr, nullptr));
    default:
      refused(lime_request_clear(nullptr));
      refused(lime_request_set_lists(request, LIME_USER, "none", one, nullptr, 1));
      refused(lime_request_set_reals(nullptr, LIME_USER, "mood", real, 1));
      checked(lime_scorer_top(scorer, request, nullptr, 0, 1, 0, nullptr, nullptr, &found, nullptr));
      require(!lime_scorer_checkpoint(nullptr) && !lime_scorer_task(nullptr, 0) &&
                  lime_scorer_tasks(nullptr) == 0 && lime_scorer_cached_items(nullptr, nullptr) == 0 &&
                  lime_id_of_text(nullptr) == -1,
              "a null pointer has properties");
  }
}

void run(std::string_view bytes) {
  static const Scorers scorers;
  Input input(bytes);
  lime_scorer* scorer = input.byte() % 2 ? scorers.with_cache : scorers.without;
  lime_request* request = nullptr;
  require(lime_request_make(scorer, &request) == LIME_OK, lime_last_error());
  Model model;
  try {
    for (int calls = 0; calls < 40 && !input.empty(); ++calls) {
      const uint8_t what = input.byte();
      if (what < 130) {
        const int group = what % 16 == 15 ? static_cast<int8_t>(input.byte()) : what % 2;
        const std::string feature = features[input.byte() % std::size(features)];
        const Values values = some_values(input);
        if (checked(set(request, group, feature, values)) == LIME_OK) model[{group, feature}] = values;
      } else if (what < 150) {
        std::vector<int64_t> times;
        for (size_t n = input.byte() % most_rows; n > 0; --n) times.push_back(input.number());
        const int64_t now = input.number();
        checked(lime_request_set_ages(request, now, times.data(), times.size()));
        Values& ages = model[{LIME_HISTORY, "age"}] = {};  // as the ids that they become
        for (const int64_t time : times)
          ages.ids.push_back(age_bucket(now, time, scorers.run.config.features.age_buckets));
      } else if (what < 160) {
        checked(lime_request_clear(request));
        model.clear();
      } else if (what < 210) {
        score(scorer, request, model, input);
      } else if (what < 235) {
        top(scorer, request, input);
      } else {
        with_nulls(scorer, request, what);
      }
    }
  } catch (...) {
    lime_request_free(request);
    throw;
  }
  lime_request_free(request);
}

// A call of set: of a group and feature, n rows of ids, of lists of one, or of reals.
std::string setting(uint8_t group, uint8_t feature, uint8_t kind, uint8_t rows) {
  std::string call{static_cast<char>(group), static_cast<char>(feature), static_cast<char>(kind),
                   static_cast<char>(rows)};
  for (uint8_t i = 0; i < rows; ++i) call += static_cast<char>(16 + i);
  if (kind == 1) call += std::string(size_t{1} + rows, '\0');
  for (uint8_t i = 0; kind == 2 && i < rows; ++i) call += std::string("\0\0\x80\x3f\0", 5);
  return call;
}

std::vector<std::string> seeds() {
  std::string whole = setting(0, 0, 0, 3) + setting(0, 1, 1, 3) + setting(0, 2, 0, 3) + setting(0, 3, 2, 3) +
                      setting(0, 4, 2, 3) + setting(0, 5, 0, 3) + setting(1, 6, 0, 1) + setting(1, 7, 0, 1) +
                      setting(1, 8, 2, 1);
  const std::string score_three{static_cast<char>(200), 3, 16, 17, 21},
      best{static_cast<char>(230), 3, 16, 17, 21, 18, 16}, ages{static_cast<char>(140), 3, 16, 17, 20, 40},
      cleared{static_cast<char>(155)};
  std::vector<std::string> inputs;
  for (const char cache : {0, 1}) {
    inputs.push_back(cache + score_three);
    inputs.push_back(cache + whole + score_three + best);
    inputs.push_back(cache + whole + ages + score_three + setting(0, 4, 2, 1) + setting(0, 4, 2, 3) +
                     score_three);
    inputs.push_back(cache + whole + cleared + setting(1, 8, 2, 1) + best);
  }
  std::string nulls(1, '\0');
  for (int which = 235; which < 256; ++which) nulls += static_cast<char>(which);
  inputs.push_back(nulls);
  return inputs;
}

}  // namespace

const Target scorer{"scorer", run, seeds};

}  // namespace lime::fuzz
