#!/usr/bin/env python3
"""Ablations of LIME-XOR on the long-history log, quality beside cost: links, blocks, and how much history is read.

  lime generate --preset long-history --out data/long-history
  bench/ablation_long_history.py --lime build/cpu/launch/lime --data data/long-history --out runs/ablation

One factor at a time from configs/long-history.yaml (16 links, 2 blocks, whole histories). Writes ablation.json
and ablation.md under --out and prints the table. CPU seconds are those of the whole run, training and
evaluation, in one process. Runs that are already there are not made again. Needs nothing but Python's standard
library.
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess

FACTORS = {
    "links": ("model.links", [4, 8, 16, 32, 64, 128]),
    "blocks": ("model.blocks", [1, 2, 3, 4]),
    "history": ("data.max_history", [64, 256, 1024, 2048, 4096, 16384]),
}


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def train(args, factor, value, seed):
    """The run's result, as it is kept in its directory."""
    directory = args.out / f"{factor}-{value}-{seed}"
    path = directory / "ablation.json"
    if not path.exists():
        settings = [f"data.path={args.data}", f"seed={seed}", f"model.name={args.model}",
                    f"{FACTORS[factor][0]}={value}", *args.set]
        command = [args.lime, "train", args.config, "--out", directory]
        before = cpu_seconds()
        done = subprocess.run(command + [word for setting in settings for word in ("--set", setting)],
                              capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
        task = json.loads((directory / "eval.json").read_text())[0]["tasks"][0]["all"]
        path.write_text(json.dumps({"factor": factor, "value": value, "seed": seed, "auc": task["auc"],
                                    "ne": task["ne"], "cpu_s": cpu_seconds() - before}) + "\n")
    return json.loads(path.read_text())


def table(results):
    lines = ["| factor | value | AUC by seed | AUC | NE | CPU s |", "| --- | ---: | --- | ---: | ---: | ---: |"]
    for factor, value in dict.fromkeys((r["factor"], r["value"]) for r in results):
        rows = [r for r in results if (r["factor"], r["value"]) == (factor, value)]
        by_seed = " ".join(f"{r['auc']:.4f}" for r in rows)
        auc, ne, cpu_s = (statistics.mean(r[key] for r in rows) for key in ("auc", "ne", "cpu_s"))
        lines.append(f"| {factor} | {value} | {by_seed} | {auc:.4f} | {ne:.4f} | {cpu_s:.1f} |")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lime", default="build/cpu/launch/lime")
    p.add_argument("--config", default="configs/long-history.yaml")
    p.add_argument("--data", default="data/long-history")
    p.add_argument("--out", default="runs/ablation", type=pathlib.Path)
    p.add_argument("--model", default="lime_xor")
    p.add_argument("--seeds", nargs="+", type=int, default=[1])
    p.add_argument("--factors", nargs="+", default=list(FACTORS), choices=FACTORS)
    p.add_argument("--set", nargs="*", default=[], help="further key=value for every run")
    args = p.parse_args()

    results = []
    for factor in args.factors:
        for value in FACTORS[factor][1]:
            for seed in args.seeds:
                result = train(args, factor, value, seed)
                results.append(result)
                print(f"{factor} {value}, seed {seed}: AUC {result['auc']:.4f}, {result['cpu_s']:.1f} CPU s",
                      flush=True)
    (args.out / "ablation.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.out / "ablation.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
