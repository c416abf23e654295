/* The same as score_request.cc, in C: score_request_c RUN CACHE [DATA] */
#include <stdio.h>

#include "serving/lime_scorer.h"

enum { best = 5 };

static int fail(void) {
  fprintf(stderr, "score_request_c: %s\n", lime_last_error());
  return 2;
}

int main(int argc, char** argv) {
  if (argc < 3) return fprintf(stderr, "usage: score_request_c RUN CACHE [DATA]\n"), 2;
  lime_scorer_options options = {0};
  options.run = argv[1];
  options.cache = argv[2];
  if (argc > 3) options.data = argv[3];

  lime_scorer* scorer = NULL;
  lime_request* request = NULL;
  if (lime_scorer_open(&options, &scorer) || lime_request_make(scorer, &request)) return fail();

  const int64_t* items = NULL;
  const size_t count = (size_t)lime_scorer_cached_items(scorer, &items);
  const int64_t now = 1704391200000;
  const int64_t topic[] = {4, 7, 4}, action[] = {1, 0, 1}, segment = 2, hour = 18;
  const int64_t times[] = {now - 86400000, now - 3600000, now - 60000};
  if (lime_request_set_ids(request, LIME_HISTORY, "item", items, 3) ||
      lime_request_set_ids(request, LIME_HISTORY, "topic", topic, 3) ||
      lime_request_set_ids(request, LIME_HISTORY, "action", action, 3) ||
      lime_request_set_ages(request, now, times, 3) ||
      lime_request_set_ids(request, LIME_USER, "segment", &segment, 1) ||
      lime_request_set_ids(request, LIME_USER, "hour", &hour, 1))
    return fail();
  /* lime_request_set_reals: numbers as the dataset stores them, log1pf(x) where the mapping says log1p. */

  int64_t best_items[best];
  float logits[best];
  size_t found = 0;
  lime_counts counts;
  if (lime_scorer_top(scorer, request, items, count, best, 0, best_items, logits, &found, &counts))
    return fail();
  printf("%s, %zu items, %lld from the cache\n", lime_scorer_checkpoint(scorer), count,
         (long long)counts.cached);
  for (size_t i = 0; i < found; ++i)
    printf("item %lld  %s logit %.4f\n", (long long)best_items[i], lime_scorer_task(scorer, 0), logits[i]);
  lime_request_free(request);
  lime_scorer_close(scorer);
  return 0;
}
