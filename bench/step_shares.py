#!/usr/bin/env python3
"""Where the time of training steps on a GPU goes, from the trace that `lime train --trace` writes.

  bench/step_shares.py TRACE.json [FIRST_STEP]

Reads the ranges of thread "device" of rank 0 from step FIRST_STEP (5) on: each range's own time, less that of the
ranges within it, summed by kind, as a share of all time between the first of them and the last. What no range
covers is "idle or other streams". Ranges cost the host a few microseconds each, so that small steps look longer
than they are.
"""
import collections
import json
import sys

# The first prefix that fits.
KINDS = [("xor_attention", "attention"), ("link_attention", "attention"), ("causal_attention", "attention"),
         ("target_attention", "attention"), ("gemm", "products"), ("embedding", "embedding"),
         ("gather", "embedding"), ("scatter", "embedding"), ("lookup", "embedding"),
         ("begin lookup", "embedding"), ("reduce rows", "embedding"),
         ("update", "updates"), ("adamw", "updates"), ("gradients.wait", "exposed communication"),
         ("reduce dense", "exposed communication"), ("data wait", "input"), ("checkpoint", "checkpoint")]
REST = "row operations"  # what layers do between products and attention


def kind_of(name):
    return next((kind for prefix, kind in KINDS if name.startswith(prefix)), REST)


def device_ranges(trace):
    events = trace["traceEvents"]
    threads = {e["tid"] for e in events if e["name"] == "thread_name" and e["args"]["name"] == "device"}
    if not threads:
        sys.exit("no thread 'device' in the trace: was it written with device=cuda?")
    ranges = [(e["ts"], e["ts"] + e["dur"], e["name"]) for e in events if e["ph"] == "X" and e["tid"] in threads]
    return sorted(ranges, key=lambda r: (r[0], -r[1]))


def own_times(ranges):
    """(name, own time) of each range, and the time that some range covers."""
    own, open_ranges, covered, end_of_all = [], [], 0, None
    for begin, end, name in ranges:
        while open_ranges and open_ranges[-1][1] <= begin:
            open_ranges.pop()
        if open_ranges:
            end = min(end, open_ranges[-1][1])
            own[open_ranges[-1][0]][1] -= end - begin
        else:
            covered += end - max(begin, end_of_all or begin)
        end_of_all = max(end_of_all or end, end)
        own.append([name, end - begin])
        open_ranges.append((len(own) - 1, end))
    return own, covered


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    first_step = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with open(sys.argv[1], encoding="utf-8") as file:
        ranges = device_ranges(json.load(file))
    steps = [r[0] for r in ranges if r[2] == "update"]
    if len(steps) <= first_step:
        sys.exit(f"{len(steps)} steps in the trace, expected more than {first_step}")
    begin = steps[first_step - 1]
    ranges = [r for r in ranges if r[0] >= begin and r[2] != "checkpoint"]
    own, covered = own_times(ranges)
    span = max(r[1] for r in ranges) - begin
    by_kind, by_name = collections.Counter(), collections.Counter()
    for name, us in own:
        by_kind[kind_of(name)] += us
        by_name[name] += us
    by_kind["idle or other streams"] = span - covered
    count = len(steps) - first_step
    print(f"{count} steps, {span / count / 1e3:.3f} ms each")
    for kind, us in by_kind.most_common():
        names = [n for n, _ in by_name.most_common() if kind_of(n) == kind][:4]
        print(f"{kind:24s} {us / count / 1e3:9.3f} ms {100 * us / span:6.1f} %  {', '.join(names)}")


if __name__ == "__main__":
    main()
