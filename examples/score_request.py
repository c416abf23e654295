#!/usr/bin/env python3
"""The same as score_request.cc, in Python, with its standard library alone: score_request.py RUN CACHE [DATA]

liblime_scorer.so is looked for where the loader looks; LIME_SCORER names it elsewhere. Where numpy is there,
array.ctypes.data_as(POINTER(c_int64)) hands an array over without a copy.
"""
import ctypes
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p

HISTORY, USER = 0, 1


class Options(ctypes.Structure):  # lime_scorer_options
    _fields_ = [(name, c_char_p) for name in ("run", "checkpoint", "data", "cache", "items")] + [("refuse_missing", c_int)]


class Counts(ctypes.Structure):  # lime_counts
    _fields_ = [("cached", c_int64), ("uncached", c_int64)]


ids_t, reals_t = POINTER(c_int64), POINTER(c_float)
try:
    lime = ctypes.CDLL(os.environ.get("LIME_SCORER", "liblime_scorer.so.0"))
except OSError as error:
    sys.exit(f"{error}; set LIME_SCORER to the library's path")


def function(name, result, *arguments):
    f = getattr(lime, name)
    f.argtypes, f.restype = arguments, result
    return f


last_error = function("lime_last_error", c_char_p)


def call(name, *arguments):
    """A function that can fail; its error becomes an exception."""

    def checked(*values):
        if f(*values) != 0:
            raise RuntimeError(last_error().decode())

    f = function(name, c_int, *arguments)
    return checked


open_scorer = call("lime_scorer_open", POINTER(Options), POINTER(c_void_p))
make_request = call("lime_request_make", c_void_p, POINTER(c_void_p))
set_ids = call("lime_request_set_ids", c_void_p, c_int, c_char_p, ids_t, c_size_t)
set_ages = call("lime_request_set_ages", c_void_p, c_int64, ids_t, c_size_t)
top = call("lime_scorer_top", c_void_p, c_void_p, ids_t, c_size_t, c_int64, c_int64, ids_t, reals_t, POINTER(c_size_t),
           POINTER(Counts))
checkpoint = function("lime_scorer_checkpoint", c_char_p, c_void_p)
task_name = function("lime_scorer_task", c_char_p, c_void_p, c_int64)
cached_items = function("lime_scorer_cached_items", c_int64, c_void_p, POINTER(ids_t))
free_request = function("lime_request_free", None, c_void_p)
close_scorer = function("lime_scorer_close", None, c_void_p)


def ids(*values):
    return (c_int64 * len(values))(*values)


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: score_request.py RUN CACHE [DATA]")
    run, cache, *data = (word.encode() for word in sys.argv[1:])
    scorer, request, items = c_void_p(), c_void_p(), ids_t()
    open_scorer(Options(run=run, cache=cache, data=data[0] if data else None), byref(scorer))
    make_request(scorer, byref(request))
    count = cached_items(scorer, byref(items))

    # Three events, oldest first; the user's segment, and 18 o'clock.
    now = 1_704_391_200_000
    set_ids(request, HISTORY, b"item", items, 3)
    set_ids(request, HISTORY, b"topic", ids(4, 7, 4), 3)
    set_ids(request, HISTORY, b"action", ids(1, 0, 1), 3)
    set_ages(request, now, ids(now - 86_400_000, now - 3_600_000, now - 60_000), 3)
    set_ids(request, USER, b"segment", ids(2), 1)
    set_ids(request, USER, b"hour", ids(18), 1)
    # Numbers (lime_request_set_reals) are given as the dataset stores them: math.log1p(x) where the mapping says log1p.

    best_items, logits, found, counts = (c_int64 * 5)(), (c_float * 5)(), c_size_t(), Counts()
    top(scorer, request, items, count, 5, 0, best_items, logits, byref(found), byref(counts))
    print(f"{checkpoint(scorer).decode()}, {count} items, {counts.cached} from the cache")
    for i in range(found.value):
        print(f"item {best_items[i]}  {task_name(scorer, 0).decode()} logit {logits[i]:.4f}")
    free_request(request)
    close_scorer(scorer)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"score_request.py: {error}")
