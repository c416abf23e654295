#!/usr/bin/env python3
"""Embedding tables against FBGEMM's and TorchRec's on CPUs: look-up, and look-up + gradient + update.

  PYTHON bench/compare_embeddings.py [--peer fbgemm|torchrec] [--bench build/cpu/bench/bench_embedding]
                                     [--dims 64,128] [--rounds 9] [--threads 1] [--rows 1000000]
                                     [--ids 262144]

PYTHON has torch, numpy, fbgemm-gpu-cpu and torchrec. With --threads N, FBGEMM has N threads, TorchRec N ranks
(gloo, rows sharded, bench/peers/torchrec_ranks.py) and bench_embedding N ranks (`mpirun -np N`), each with its
part of the ids. First both take one step of row-wise Adagrad from the same rows with the same ids and
gradients, and the rows and sums of squares after it are compared: what differs is not timed. Then they take
turns, `--rounds` times; a ratio is that of the two medians of one round. Printed: medians over the rounds, and
the range.

What is compared is not the same work. FBGEMM takes row indices below --rows, of a table that has all rows from
the start; lime takes any int64, finds the row by a hash table, and each distinct id once, as several ranks need
it. FBGEMM adds the gradients of an id in the order of its sort; lime in the order of positions, then along a
tree, the same for any number of ranks. TorchRec gives each rank a range of row indices, where most occurrences
would be those of the first: rows are permuted, so that each rank has as many. FBGEMM is given what makes it fastest here: bags of one id (sums: for
single ids without pooling its update is three times slower), no check of bounds, memory that the C library
keeps (else every output is fresh pages), huge pages, and the vectors of its compiler (FBGEMM_FORCE_AUTOVEC);
TorchRec, which calls it, the last three. --as-installed leaves all that out.
"""
import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

FASTEST = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 40),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "THP_MEM_ALLOC_ENABLE": "1",
    "FBGEMM_FORCE_AUTOVEC": "1",
}
LEARNING_RATE, EPS, FIRST_VALUE = 0.01, 1e-8, 0.01  # as bench_embedding


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peer", default="fbgemm", choices=["fbgemm", "torchrec"])
    p.add_argument("--bench", default="build/cpu/bench/bench_embedding")
    p.add_argument("--dims", type=lambda s: [int(d) for d in s.split(",")], default=[64, 128])
    for name, value in dict(rounds=9, threads=1, rows=1_000_000, ids=262_144).items():
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--seconds", type=float, default=1, help="of each program in each round")
    p.add_argument("--as-installed", action="store_true", help="the peer as a user gets it")
    return p.parse_args()


class Fbgemm:
    """One table on the CPU, with row-wise Adagrad fused into backward."""

    def __init__(self, a, dim, step_of_lime):
        import torch
        from fbgemm_gpu.split_embedding_configs import EmbOptimType
        from fbgemm_gpu.split_table_batched_embeddings_ops_common import (BoundsCheckMode, EmbeddingLocation,
                                                                          PoolingMode)
        from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
            ComputeDevice, SplitTableBatchedEmbeddingBagsCodegen)
        torch.set_num_threads(a.threads)
        self.torch, self.seconds = torch, a.seconds
        self.table = SplitTableBatchedEmbeddingBagsCodegen(
            [(a.rows, dim, EmbeddingLocation.HOST, ComputeDevice.CPU)],
            optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD, learning_rate=LEARNING_RATE, eps=EPS,
            pooling_mode=PoolingMode.SUM, stochastic_rounding=False, device=torch.device("cpu"),
            bounds_check_mode=BoundsCheckMode.WARNING if a.as_installed else BoundsCheckMode.NONE)
        self.table.split_embedding_weights()[0].fill_(FIRST_VALUE)
        self.ids = torch.from_numpy(step_of_lime.ids)
        self.bags = torch.arange(a.ids + 1)
        self.gradient = torch.from_numpy(step_of_lime.gradients)
        self.step()
        step_of_lime.check(self.table.split_embedding_weights()[0].numpy(),
                           self.table.split_optimizer_states()[0][0].numpy())

    def look_up(self):
        with self.torch.no_grad():
            self.table(self.ids, self.bags)

    def step(self):
        self.table(self.ids, self.bags).backward(self.gradient)

    def times(self):
        return median_ms(self.look_up, self.seconds / 2), median_ms(self.step, self.seconds)


class Torchrec:
    """bench/peers/torchrec_ranks.py, started each time: its ranks would hold the cores that lime's need."""

    def __init__(self, a, dim, step_of_lime):
        self.checks = None
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "torchrec_ranks.py")
        self.command = [sys.executable, program, "time", "--ranks", str(a.threads), "--rows", str(a.rows),
                        "--dim", str(dim), "--ids", str(a.ids), "--seconds", str(a.seconds), "--same-as",
                        step_of_lime.directory]

    def times(self):
        run = subprocess.run(self.command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        *checks, last = run.stdout.splitlines()
        checks.sort()  # ranks speak in any order
        if self.checks != checks:
            print(*checks, sep="\n", flush=True)
            self.checks = checks
        out = json.loads(last)
        return out["lookup_ms"], out["median_ms"]


def median_ms(call, seconds):
    times = []
    call()
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def lime(a, dim, *more, ranks):
    start = ["mpirun", "-np", str(ranks)] if ranks > 1 else []
    command = [*start, a.bench, "--rows", str(a.rows), "--dim", str(dim), "--ids", str(a.ids), "--optimizer",
               "rowwise_adagrad", *more]
    environment = {k: v for k, v in os.environ.items() if k not in FASTEST}
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


class StepOfLime:
    """What `bench_embedding --write` left in a directory."""

    def __init__(self, directory, rows, dim):
        import numpy
        read = lambda name, dtype: numpy.fromfile(os.path.join(directory, name), dtype)
        self.directory = directory
        self.ids, self.state = read("ids.i64", "int64"), read("state.f32", "float32")
        self.rows = read("rows.f32", "float32").reshape(rows, dim)
        gradients = read("gradients.f32", "float32").reshape(-1, dim)
        self.gradients = numpy.resize(gradients, (len(self.ids), dim))  # they repeat

    def check(self, rows, state, ids=slice(None)):
        """Ends the program where the rows of these ids, or their sums of squares, are not those of lime."""
        moved = int((rows != rows.dtype.type(FIRST_VALUE)).any(1).sum())
        off = float((abs(rows - self.rows[ids]) / LEARNING_RATE).max())
        state_off = float((abs(state - self.state[ids]) / (state + 1e-9)).max())
        print(f"  one step: {moved} rows moved; rows differ by at most {off:.1e} of the learning rate, "
              f"sums of squares by {state_off:.1e} of themselves", flush=True)
        if not (off < 1e-3 and state_off < 1e-4):
            sys.exit("not the same step: nothing is timed")


def compare(a, dim, directory):
    lime(a, dim, "--write", directory, "--seconds", "0", ranks=1)
    step = StepOfLime(directory, a.rows, dim)
    print(f"dim {dim}: {len(step.ids)} ids, {len(set(step.ids.tolist()))} distinct", flush=True)
    peer = (Fbgemm if a.peer == "fbgemm" else Torchrec)(a, dim, step)
    seen = []
    for _ in range(a.rounds):
        theirs = peer.times()
        ours = lime(a, dim, "--seconds", str(a.seconds), ranks=a.threads)
        seen.append((*theirs, ours["lookup_ms"], ours["median_ms"]))
    for what, theirs, ours in ("look-up", 0, 2), ("look-up + gradient + update", 1, 3):
        ratios = [r[theirs] / r[ours] for r in seen]
        middle = lambda i: statistics.median(r[i] for r in seen)
        print(f"  {what}: {a.peer} {middle(theirs):.1f} ms, lime {middle(ours):.1f} ms, {a.peer} / lime "
              f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})", flush=True)


def main():
    a = parse()
    if not a.as_installed and any(os.environ.get(k) != v for k, v in FASTEST.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | FASTEST)  # read when a process begins
    packages = [f"{p} {importlib.metadata.version(p)}" for p in ("fbgemm-gpu-cpu", "torchrec", "torch")]
    print(f"{', '.join(packages)}, Python {platform.python_version()}; {a.threads} thread(s) or rank(s), "
          f"{a.rows} rows, {'as installed' if a.as_installed else 'tuned'}")
    for dim in a.dims:
        with tempfile.TemporaryDirectory() as directory:
            compare(a, dim, directory)


if __name__ == "__main__":
    main()
