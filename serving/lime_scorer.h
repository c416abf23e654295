/* The scorer (serving/scorer.h) for C. docs/scoring.md; examples/score_request.c uses it.
 *
 * Functions that can fail return LIME_OK, or LIME_USER_ERROR (run, cache, feature or item: the caller can
 * mend it) or LIME_ERROR, and then lime_last_error() says in one line what was wrong. No exception leaves
 * them. A scorer may be used by any number of threads at once; a request by one thread at a time. Handles are
 * freed by the function named for it; freeing a null pointer does nothing. A null pointer in the place of
 * anything else that is needed is LIME_USER_ERROR, or of functions without a code null, 0 or -1. What cannot
 * be checked is the caller's: that an array has the length that is said. */
#ifndef LIME_SCORER_H_
#define LIME_SCORER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LIME_OK = 0, LIME_ERROR = 1, LIME_USER_ERROR = 2 };
enum { LIME_HISTORY = 0, LIME_USER = 1 };

typedef struct lime_scorer lime_scorer;
typedef struct lime_request lime_request;

/* Zero is the default of every member but `run`. */
typedef struct {
  const char* run;        /* run directory */
  const char* checkpoint; /* name under RUN/checkpoints, best or newest; null: best, else newest */
  const char* data;       /* dataset directory in place of the run's; null */
  const char* cache;      /* made by lime cache build; null: none */
  const char* items;      /* items.h5 for items that the cache lacks; null: the dataset's */
  int refuse_missing;     /* not 0: a candidate that the cache lacks is an error */
} lime_scorer_options;

typedef struct {
  int64_t cached, uncached; /* candidates */
} lime_counts;

/* The last failure of this thread's calls; never null, valid until the thread's next call that fails. */
const char* lime_last_error(void);

int lime_scorer_open(const lime_scorer_options* options, lime_scorer** scorer);
void lime_scorer_close(lime_scorer* scorer);
const char* lime_scorer_checkpoint(const lime_scorer* scorer);
int64_t lime_scorer_tasks(const lime_scorer* scorer);
const char* lime_scorer_task(const lime_scorer* scorer, int64_t task); /* null where there is none */
/* The cache's items, ascending, as long as the scorer is open; returns their number. */
int64_t lime_scorer_cached_items(const lime_scorer* scorer, const int64_t** items);

/* The id of a user, an item or a value that was text (or an integer) in the logs, as lime import csv made it;
 * -1, missing, of an empty text or a negative number. */
int64_t lime_id_of_text(const char* text);

/* Requests: scoring_request.h. `rows` is the number of events, or 1 for the user. */
int lime_request_make(const lime_scorer* scorer, lime_request** request);
void lime_request_free(lime_request* request);
int lime_request_clear(lime_request* request);
int lime_request_set_ids(lime_request* request, int group, const char* feature, const int64_t* ids,
                         size_t rows);
/* offsets: rows + 1 numbers from 0; row i has ids[offsets[i]] .. ids[offsets[i+1] - 1]. */
int lime_request_set_lists(lime_request* request, int group, const char* feature, const int64_t* ids,
                           const int64_t* offsets, size_t rows);
/* Numbers as the dataset stores them: log(1 + x) where the mapping says log1p, or the importer takes it
 * (KuaiRand: of all). NaN: missing. */
int lime_request_set_reals(lime_request* request, int group, const char* feature, const float* values,
                           size_t rows);
int lime_request_set_ages(lime_request* request, int64_t request_ms, const int64_t* event_ms, size_t events);

/* logits: count x tasks. `counts` may be null. */
int lime_scorer_score(const lime_scorer* scorer, const lime_request* request, const int64_t* items,
                      size_t count, float* logits, lime_counts* counts);
/* The k best by `task`: room for k items and logits; *found: how many were written. `counts` may be null. */
int lime_scorer_top(const lime_scorer* scorer, const lime_request* request, const int64_t* items,
                    size_t count, int64_t k, int64_t task, int64_t* best_items, float* best_logits,
                    size_t* found, lime_counts* counts);

#ifdef __cplusplus
}
#endif

#endif /* LIME_SCORER_H_ */
