#!/usr/bin/env python3
"""Embedding tables against FBGEMM's on CPUs: look-up, and look-up + gradient + row-wise Adagrad.

  PYTHON bench/compare_fbgemm.py [--bench build/cpu/bench/bench_embedding] [--dims 64,128] [--rounds 9]
                                 [--threads 1] [--rows 1000000] [--ids 262144] [--seconds 1]

PYTHON has torch, numpy and fbgemm-gpu-cpu. With --threads N, FBGEMM has N threads and bench_embedding runs on N ranks
(`mpirun -np N`), each with its part of the ids. First both take one step from the same rows with the same ids and
gradients, and the rows and sums of squares after it are compared: what differs is not timed. Then they take turns,
`--rounds` times; a ratio is that of the two medians of one round. Printed: medians over the rounds, and the range.

What is compared is not the same work. FBGEMM takes row indices below --rows, of a table that has all rows from the start;
lime takes any int64, finds the row by a hash table, and reads each distinct id once, as several ranks need it. FBGEMM
adds gradients in an order that its sort and its threads decide; lime in the order of positions, then along a tree, the
same for any number of ranks. FBGEMM is given what makes it fastest here: bags of one id (sums: for single ids without
pooling its update is three times slower), no check of bounds, memory that the C library keeps (else every output is
fresh pages), huge pages, and the vectors of its compiler (FBGEMM_FORCE_AUTOVEC). --as-installed leaves all that out.
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
    p.add_argument("--bench", default="build/cpu/bench/bench_embedding")
    p.add_argument("--dims", type=lambda s: [int(d) for d in s.split(",")], default=[64, 128])
    for name, value in dict(rounds=9, threads=1, rows=1_000_000, ids=262_144).items():
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--seconds", type=float, default=1, help="of each program in each round")
    p.add_argument("--as-installed", action="store_true", help="FBGEMM as a user gets it")
    return p.parse_args()


class Fbgemm:
    """One table on the CPU, with row-wise Adagrad fused into backward."""

    def __init__(self, a, dim, ids, gradients):
        import torch
        from fbgemm_gpu.split_embedding_configs import EmbOptimType
        from fbgemm_gpu.split_table_batched_embeddings_ops_common import BoundsCheckMode, EmbeddingLocation, PoolingMode
        from fbgemm_gpu.split_table_batched_embeddings_ops_training import (ComputeDevice,
                                                                            SplitTableBatchedEmbeddingBagsCodegen)
        torch.set_num_threads(a.threads)
        self.torch = torch
        self.table = SplitTableBatchedEmbeddingBagsCodegen(
            [(a.rows, dim, EmbeddingLocation.HOST, ComputeDevice.CPU)],
            optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD, learning_rate=LEARNING_RATE, eps=EPS,
            pooling_mode=PoolingMode.SUM, stochastic_rounding=False, device=torch.device("cpu"),
            bounds_check_mode=BoundsCheckMode.WARNING if a.as_installed else BoundsCheckMode.NONE)
        self.table.split_embedding_weights()[0].fill_(FIRST_VALUE)
        self.ids = torch.from_numpy(ids)
        self.bags = torch.arange(len(ids) + 1)
        repeats = -(-len(ids) // len(gradients))
        self.gradient = torch.from_numpy(gradients).repeat(repeats, 1)[: len(ids)].contiguous()

    def look_up(self):
        with self.torch.no_grad():
            self.table(self.ids, self.bags)

    def step(self):
        self.table(self.ids, self.bags).backward(self.gradient)

    def rows_and_state(self):
        rows = self.table.split_embedding_weights()[0].numpy()
        return rows, self.table.split_optimizer_states()[0][0].numpy()


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


def first_step_of_lime(a, dim):
    import numpy
    with tempfile.TemporaryDirectory() as out:
        lime(a, dim, "--write", out, "--seconds", "0", ranks=1)
        read = lambda name, dtype: numpy.fromfile(os.path.join(out, name), dtype)
        return (read("ids.i64", "int64"), read("gradients.f32", "float32").reshape(-1, dim),
                read("rows.f32", "float32").reshape(a.rows, dim), read("state.f32", "float32"))


def check(name, difference, limit):
    worst = float(abs(difference).max())
    print(f"  one step, {name}: at most {worst:.1e}", flush=True)
    if not worst <= limit:
        sys.exit(f"{name}: more than {limit}: nothing is timed")


def compare(a, dim):
    ids, gradients, rows, state = first_step_of_lime(a, dim)
    print(f"dim {dim}: {len(ids)} ids, {len(set(ids.tolist()))} distinct", flush=True)
    peer = Fbgemm(a, dim, ids, gradients)
    peer.step()
    their_rows, their_state = peer.rows_and_state()
    moved = int((their_rows != rows[0].dtype.type(FIRST_VALUE)).any(1).sum())
    check("difference of rows, of the learning rate", (rows - their_rows) / LEARNING_RATE, 1e-3)
    check(f"relative difference of the state of {moved} rows", (state - their_state) / (their_state + 1e-9), 1e-4)
    seen = []
    for _ in range(a.rounds):
        theirs = median_ms(peer.look_up, a.seconds / 2), median_ms(peer.step, a.seconds)
        ours = lime(a, dim, "--seconds", str(a.seconds), ranks=a.threads)
        seen.append((*theirs, ours["lookup_ms"], ours["median_ms"]))
    for what, theirs, ours in ("look-up", 0, 2), ("look-up + gradient + update", 1, 3):
        ratios = [r[theirs] / r[ours] for r in seen]
        middle = lambda i: statistics.median(r[i] for r in seen)
        print(f"  {what}: FBGEMM {middle(theirs):.1f} ms, lime {middle(ours):.1f} ms, FBGEMM / lime "
              f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})", flush=True)


def main():
    a = parse()
    if not a.as_installed and any(os.environ.get(k) != v for k, v in FASTEST.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | FASTEST)  # read when a process begins
    version = importlib.metadata.version
    print(f"fbgemm-gpu-cpu {version('fbgemm-gpu-cpu')}, torch {version('torch')}, Python {platform.python_version()}; "
          f"{a.threads} thread(s) or rank(s), {a.rows} rows, {'as installed' if a.as_installed else 'tuned'}")
    for dim in a.dims:
        compare(a, dim)


if __name__ == "__main__":
    main()
