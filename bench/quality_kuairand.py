#!/usr/bin/env python3
"""Held-out quality on KuaiRand-Pure: every model, several seeds, one table.

  bench/quality_kuairand.py --lime build/cpu/launch/lime --data data/kuairand-pure --out runs/quality [--seeds 1 2 3]

Trains each model on 2022-04-25..05-04 (configs/kuairand.yaml), evaluates 05-05..05-08 with running and frozen histories, and
lime_xor also with no and with a stranger's history; "no_history" is lime_xor trained with data.max_history=0. Runs that are
already there are not trained again. Needs nothing but Python's standard library.
"""
import argparse
import json
import pathlib
import statistics
import subprocess

DAYS = "2022-05-05..2022-05-08"
MODELS = {
    "two_tower": ["model.name=two_tower"],
    "din": ["model.name=din"],
    "mha": ["model.name=mha"],
    "truncated_mha": ["model.name=truncated_mha"],
    "linformer": ["model.name=linformer"],
    "hstu": ["model.name=hstu"],
    "lime_mha": ["model.name=lime_mha"],
    "lime_xor": ["model.name=lime_xor"],
    "no_history": ["model.name=lime_xor", "data.max_history=0"],
}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")


def evaluate(args, directory, history):
    path = directory / "eval.json"  # what training left: running and frozen
    if history not in ("running", "frozen"):
        path = directory / f"{history}.json"
        if not path.exists():
            run([args.lime, "eval", directory, "--days", DAYS, "--history", history, "--json", path])
    results = json.loads(path.read_text())
    return next(r for r in results if r["history"] == history)["tasks"][0]["all"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lime", default="build/cpu/launch/lime")
    p.add_argument("--config", default="configs/kuairand.yaml")
    p.add_argument("--data", default="data/kuairand-pure")
    p.add_argument("--out", default="runs/quality", type=pathlib.Path)
    p.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    p.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    p.add_argument("--set", nargs="*", default=[], help="further key=value for every run")
    args = p.parse_args()

    print(f"{'model':13} {'AUC by seed':28} {'AUC':>7} {'NE':>7} {'GAUC frozen':>11}")
    auc = {}
    for model in args.models:
        rows = {}
        for seed in args.seeds:
            directory = args.out / f"{model}-{seed}"
            if not (directory / "eval.json").exists():
                settings = [f"data.path={args.data}", f"seed={seed}", *MODELS[model], *args.set]
                run([args.lime, "train", args.config, "--out", directory]
                    + [word for setting in settings for word in ("--set", setting)])
            modes = ["running", "frozen"] + (["none", "stranger"] if model == "lime_xor" else [])
            for mode in modes:
                rows.setdefault(mode, []).append(evaluate(args, directory, mode))
        mean = lambda mode, key: statistics.mean(row[key] for row in rows[mode])
        auc[model] = mean("running", "auc")
        by_seed = " ".join(f"{row['auc']:.4f}" for row in rows["running"])
        print(f"{model:13} {by_seed:28} {auc[model]:7.4f} {mean('running', 'ne'):7.4f} {mean('frozen', 'gauc'):11.4f}")
        for mode in ("none", "stranger"):
            if mode in rows:
                by_seed = " ".join(f"{row['auc']:.4f}" for row in rows[mode])
                print(f"  history: {mode:9} {by_seed:20} {mean(mode, 'auc'):7.4f} {mean(mode, 'ne'):7.4f}")
    if "lime_xor" in auc and "no_history" in auc:
        print(f"lime_xor - no_history: {auc['lime_xor'] - auc['no_history']:+.4f}")


if __name__ == "__main__":
    main()
