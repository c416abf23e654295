#include "serving/lime_scorer.h"

#include <cstdint>
#include <exception>
#include <span>
#include <string>

#include "io/import_values.h"
#include "runtime/error.h"
#include "runtime/one_line.h"
#include "serving/scorer.h"

struct lime_scorer {
  lime::Scorer scorer;
};
struct lime_request {
  lime::ScoringRequest request;
};

namespace {

thread_local std::string last_error;

int failed(int code, const char* what) noexcept {
  try {
    last_error = lime::one_line(what);
  } catch (...) {  // no memory for the message either
    last_error.clear();
  }
  return code;
}

// Runs a call and turns what it throws into a code and a message.
template <typename F>
int guarded(F&& call) noexcept {
  try {
    call();
    return LIME_OK;
  } catch (const lime::UserError& error) {
    return failed(LIME_USER_ERROR, error.what());
  } catch (const std::exception& error) {
    return failed(LIME_ERROR, error.what());
  } catch (...) {
    return failed(LIME_ERROR, "unknown failure");
  }
}

std::string text(const char* given) { return given ? given : ""; }

template <typename T>
T& given(T* pointer, const char* what) {
  if (!pointer) throw lime::UserError(std::string(what) + " is null");
  return *pointer;
}

template <typename T>
std::span<T> span_of(T* values, size_t count, const char* what) {
  if (!values && count > 0) throw lime::UserError(std::string(what) + " is null");
  return {values, count};
}

lime::ScoringRequest::Group group_of(int group) {
  if (group != LIME_HISTORY && group != LIME_USER)
    throw lime::UserError(lime::str("group ", group, ", expected LIME_HISTORY or LIME_USER"));
  return group == LIME_HISTORY ? lime::ScoringRequest::Group::history : lime::ScoringRequest::Group::user;
}

void give(const lime::ScoringCounts& from, lime_counts* to) {
  if (to) *to = {from.cached, from.uncached};
}

}  // namespace

const char* lime_last_error(void) { return last_error.c_str(); }

int lime_scorer_open(const lime_scorer_options* options, lime_scorer** scorer) {
  return guarded([&] {
    const auto& o = given(options, "options");
    auto& out = given(scorer, "scorer");
    out = nullptr;
    using enum lime::MissingItems;
    out = new lime_scorer{lime::Scorer({text(o.run), text(o.checkpoint), text(o.data), text(o.cache),
                                        o.refuse_missing ? refuse : score, text(o.items)})};
  });
}

void lime_scorer_close(lime_scorer* scorer) { delete scorer; }

const char* lime_scorer_checkpoint(const lime_scorer* scorer) {
  return scorer ? scorer->scorer.checkpoint().c_str() : nullptr;
}

int64_t lime_id_of_text(const char* text) { return lime::feature_id(text ? text : ""); }

int64_t lime_scorer_tasks(const lime_scorer* scorer) {
  return scorer ? static_cast<int64_t>(scorer->scorer.tasks().size()) : 0;
}

const char* lime_scorer_task(const lime_scorer* scorer, int64_t task) {
  if (!scorer) return nullptr;
  const auto& tasks = scorer->scorer.tasks();
  return 0 <= task && task < static_cast<int64_t>(tasks.size()) ? tasks[static_cast<size_t>(task)].c_str()
                                                                : nullptr;
}

int64_t lime_scorer_cached_items(const lime_scorer* scorer, const int64_t** items) {
  const auto cached = scorer ? scorer->scorer.cached_items() : std::span<const int64_t>();
  if (items) *items = cached.data();
  return static_cast<int64_t>(cached.size());
}

int lime_request_make(const lime_scorer* scorer, lime_request** request) {
  return guarded([&] {
    auto& out = given(request, "request");
    out = nullptr;
    out = new lime_request{given(scorer, "scorer").scorer.make_request()};
  });
}

void lime_request_free(lime_request* request) { delete request; }

int lime_request_clear(lime_request* request) {
  return guarded([&] { given(request, "request").request.clear(); });
}

int lime_request_set_ids(lime_request* request, int group, const char* feature, const int64_t* ids,
                         size_t rows) {
  return guarded([&] {
    given(request, "request").request.set_ids(group_of(group), text(feature), span_of(ids, rows, "ids"));
  });
}

int lime_request_set_lists(lime_request* request, int group, const char* feature, const int64_t* ids,
                           const int64_t* offsets, size_t rows) {
  return guarded([&] {
    if (rows == SIZE_MAX) throw lime::UserError(lime::str("found ", rows, " rows, expected fewer"));
    const auto bounds = span_of(&given(offsets, "offsets"), rows + 1, "offsets");
    const auto count = static_cast<size_t>(bounds.back() > 0 ? bounds.back() : 0);
    given(request, "request")
        .request.set_lists(group_of(group), text(feature), span_of(ids, count, "ids"), bounds);
  });
}

int lime_request_set_reals(lime_request* request, int group, const char* feature, const float* values,
                           size_t rows) {
  return guarded([&] {
    given(request, "request")
        .request.set_reals(group_of(group), text(feature), span_of(values, rows, "values"));
  });
}

int lime_request_set_ages(lime_request* request, int64_t request_ms, const int64_t* event_ms, size_t events) {
  return guarded(
      [&] { given(request, "request").request.set_ages(request_ms, span_of(event_ms, events, "event_ms")); });
}

int lime_scorer_score(const lime_scorer* scorer, const lime_request* request, const int64_t* items,
                      size_t count, float* logits, lime_counts* counts) {
  return guarded([&] {
    const lime::Scorer& s = given(scorer, "scorer").scorer;
    give(s.score(given(request, "request").request, span_of(items, count, "items"),
                 span_of(logits, count * s.tasks().size(), "logits")),
         counts);
  });
}

int lime_scorer_top(const lime_scorer* scorer, const lime_request* request, const int64_t* items,
                    size_t count, int64_t k, int64_t task, int64_t* best_items, float* best_logits,
                    size_t* found, lime_counts* counts) {
  return guarded([&] {
    auto& written = given(found, "found");
    written = 0;
    const auto ranking =
        given(scorer, "scorer")
            .scorer.top(given(request, "request").request, span_of(items, count, "items"), k, task);
    span_of(best_items, ranking.items.size(), "best_items");
    span_of(best_logits, ranking.items.size(), "best_logits");
    for (const auto& best : ranking.items) {
      best_items[written] = best.item;
      best_logits[written++] = best.logit;
    }
    give(ranking.counts, counts);
  });
}
