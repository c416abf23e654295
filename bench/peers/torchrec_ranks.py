#!/usr/bin/env python3
"""One embedding table sharded over CPU ranks (gloo) with TorchRec, and what a user meets there.

  PYTHON bench/peers/torchrec_ranks.py time   --ranks 2     ms of look-up, and with gradient and update
  PYTHON bench/peers/torchrec_ranks.py bits   --ranks 1     digests of rows and state after --steps steps
  PYTHON bench/peers/torchrec_ranks.py uneven --ranks 2     the last rank has one batch less
  PYTHON bench/peers/torchrec_ranks.py save   --ranks 2 --checkpoint DIR    steps, then a checkpoint
  PYTHON bench/peers/torchrec_ranks.py damage --checkpoint DIR              turns over a bit in each file
  PYTHON bench/peers/torchrec_ranks.py resume --ranks 1 --checkpoint DIR    reads it; digests as of bits

PYTHON has torch, torchrec and fbgemm-gpu-cpu. The batch of a step is drawn from --seed and the step alone, and
each rank takes its part of it; the loss is a sum over the batch, so that on paper the number of ranks changes
nothing. Row-wise Adagrad, applied in backward. `time` gives gradients of the looked-up rows; all else trains a
layer of --width on top of them, data-parallel with plain SGD, on labels drawn like the ids (--width 0: no layer,
given gradients). docs/peers.md says what was seen.
"""
import argparse
import hashlib
import json
import os
import socket
import statistics
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as checkpoint
import torch.multiprocessing as processes


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["time", "bits", "uneven", "save", "resume", "damage"])
    for name, value in dict(ranks=2, rows=1_000_000, dim=64, ids=262_144, steps=5, seed=1, patience=60, width=16,
                            bag=1).items():
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--leave", action="store_true", help="uneven: the last rank leaves, instead of waiting for the others")
    p.add_argument("--seconds", type=float, default=5)
    p.add_argument("--checkpoint")
    p.add_argument("--same-as", metavar="DIR", help="time: the step of `bench_embedding --write DIR`, compared first")
    p.add_argument("--sharding", default="row_wise", choices=["row_wise", "table_wise", "data_parallel"])
    return p.parse_args()


class Network(torch.nn.Module):
    def __init__(self, tables, dim, width):
        super().__init__()
        self.tables = tables
        if width:
            draw = torch.Generator().manual_seed(7)
            self.top = torch.nn.Sequential(torch.nn.Linear(dim, width), torch.nn.SiLU(), torch.nn.Linear(width, 1))
            for p in self.top.parameters():
                torch.nn.init.uniform_(p, -0.1, 0.1, generator=draw)

    def forward(self, features):
        rows = self.tables(features).values()
        return self.top(rows).squeeze(1) if hasattr(self, "top") else rows


class Trained:
    def __init__(self, a, rank):
        import torchrec
        import torchrec.distributed.comm_ops
        from torch.distributed.optim import _apply_optimizer_in_backward
        from torchrec.distributed import sharding_plan
        from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
        from torchrec.distributed.model_parallel import DistributedModelParallel
        from torchrec.distributed.types import ShardingEnv, ShardingPlan
        self.a, self.rank, self.torchrec = a, rank, torchrec
        torchrec.distributed.comm_ops.set_gradient_division(False)  # by the number of ranks: the loss is a sum
        cpu = torch.device("cpu")
        tables = torchrec.EmbeddingBagCollection(
            device=torch.device("meta"),
            tables=[torchrec.EmbeddingBagConfig(name="t", embedding_dim=a.dim, num_embeddings=a.rows,
                                                feature_names=["f"])])
        _apply_optimizer_in_backward(torchrec.optim.RowWiseAdagrad, tables.parameters(), {"lr": 0.01, "eps": 1e-8})
        how = {"row_wise": sharding_plan.row_wise, "table_wise": lambda: sharding_plan.table_wise(rank=0),
               "data_parallel": sharding_plan.data_parallel}[a.sharding]()
        sharder = EmbeddingBagCollectionSharder()
        plan = sharding_plan.construct_module_sharding_plan(tables, {"t": how}, sharder=sharder, world_size=a.ranks,
                                                            local_size=a.ranks, device_type="cpu")
        self.model = DistributedModelParallel(Network(tables, a.dim, 0 if a.what == "time" else a.width), device=cpu,
                                              env=ShardingEnv.from_process_group(dist.group.WORLD),
                                              plan=ShardingPlan({"tables": plan}), sharders=[sharder])
        self.dense = [p for name, p in self.model.named_parameters() if ".top." in name or name.startswith("top.")]
        with torch.no_grad():
            for shard in self.shards(self.model.state_dict()):
                shard.fill_(0.01)

    def shards(self, state):
        """This rank's parts of every sharded tensor of a state dict."""
        for value in state.values():
            if hasattr(value, "local_shards"):
                yield from (s.tensor for s in value.local_shards())

    def batch(self, step):
        draw = torch.Generator().manual_seed(self.a.seed * 1_000_003 + step)
        bags, bag = self.a.ids // self.a.bag, self.a.bag
        ids = (self.a.rows * torch.rand(bags, bag, generator=draw, dtype=torch.float64).pow(4)).long()
        gradient = torch.randn(bags, self.a.dim, generator=draw) * 0.3
        label = (torch.rand(bags, generator=draw) < 0.3).float()
        mine = slice(self.rank * bags // self.a.ranks, (self.rank + 1) * bags // self.a.ranks)
        ids = ids[mine].clamp(max=self.a.rows - 1)
        lengths = torch.full((len(ids),), bag, dtype=torch.int32)
        features = self.torchrec.KeyedJaggedTensor(["f"], ids.reshape(-1), lengths=lengths)
        return features, gradient[mine].contiguous(), label[mine]

    def same_step(self, directory):
        """This rank's part of that step, after taking it and comparing the rows."""
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        from compare_embeddings import StepOfLime
        theirs = StepOfLime(directory, self.a.rows, self.a.dim)
        mine = slice(self.rank * self.a.ids // self.a.ranks, (self.rank + 1) * self.a.ids // self.a.ranks)
        # A rank owns a range of rows; frequent ids are the small ones.
        row_of_id = torch.randperm(self.a.rows, generator=torch.Generator().manual_seed(1))
        ids = row_of_id[torch.from_numpy(theirs.ids[mine])]
        features = self.torchrec.KeyedJaggedTensor(["f"], ids, lengths=torch.ones(len(ids), dtype=torch.int32))
        batch = features, torch.from_numpy(theirs.gradients[mine]), None
        self.step(*batch)
        rows, state = self.rows_and_state()
        first = self.rank * -(-self.a.rows // self.a.ranks)
        ids_of_rows = row_of_id.argsort()[first : first + len(rows[0])]
        theirs.check(rows[0].numpy(), state[0].reshape(-1).numpy(), ids_of_rows.numpy())
        return batch

    def step(self, features, gradient, label):
        out = self.model(features)
        if not self.dense:
            return out.backward(gradient)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(out, label, reduction="sum")
        loss.backward()
        with torch.no_grad():
            for p in self.dense:  # DDP's mean over ranks, back to the sum
                p -= 1e-5 * self.a.ranks * p.grad
                p.grad = None

    def look_up(self, features):
        with torch.no_grad():
            self.model(features)

    def state(self):
        return {"model": self.model.state_dict(), "optimizer": self.model.fused_optimizer.state_dict()}

    def rows_and_state(self):
        """This rank's rows, and their sums of squares."""
        state = self.state()
        sums = {i: v for i, v in enumerate(v for of in state["optimizer"]["state"].values() for v in of.values())}
        return list(self.shards(state["model"])), list(self.shards(sums))

    def digest(self):
        """Of all rows, and of all sums of squares, in row order whatever the number of ranks."""
        whole = {}
        parts = [None] * self.a.ranks
        rows, sums = self.rows_and_state()
        mine = {"rows": [r.clone() for r in rows], "state": [s.clone() for s in sums]}
        dist.all_gather_object(parts, mine)
        for name in mine:
            pieces = [t.reshape(-1) for part in parts for t in part[name]]
            if not pieces:  # a data-parallel table is no sharded tensor
                continue
            tensor = torch.cat(pieces)
            whole[name] = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()[:16]
            whole[name + "_sum"] = float(tensor.double().sum())
        if self.dense:
            weights = b"".join(p.detach().numpy().tobytes() for p in self.dense)
            whole["dense"] = hashlib.sha256(weights).hexdigest()[:16]
        return whole


def median_ms(call, seconds, ranks):
    times = []
    begin = time.perf_counter()
    while True:
        dist.barrier()
        t = time.perf_counter()
        call()
        mine = torch.tensor([(time.perf_counter() - t) * 1e3, time.perf_counter() - begin])
        dist.all_reduce(mine, dist.ReduceOp.MAX)
        times.append(float(mine[0]))
        if len(times) >= 5 and mine[1] > seconds:
            return statistics.median(times[1:])


def run(rank, a, port):
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank),
                   "WORLD_SIZE": str(a.ranks), "LOCAL_WORLD_SIZE": str(a.ranks)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=a.ranks, timeout=timedelta(seconds=a.patience))
    trained = Trained(a, rank)
    out = {"what": a.what, "ranks": a.ranks, "rows": a.rows, "dim": a.dim, "ids": a.ids}
    if a.what == "time":
        batch = trained.same_step(a.same_as) if a.same_as else trained.batch(0)
        out["lookup_ms"] = round(median_ms(lambda: trained.look_up(batch[0]), a.seconds / 2, a.ranks), 2)
        out["median_ms"] = round(median_ms(lambda: trained.step(*batch), a.seconds, a.ranks), 2)
    elif a.what == "resume":
        state = trained.state()
        checkpoint.load(state, checkpoint_id=a.checkpoint)
        trained.model.load_state_dict(state["model"])
        trained.model.fused_optimizer.load_state_dict(state["optimizer"])
    else:
        steps = a.steps - (a.what == "uneven" and rank == a.ranks - 1)
        for step in range(steps):
            trained.step(*trained.batch(step))
            if a.what == "uneven":
                print(f"rank {rank}: step {step + 1}", flush=True)
        if a.leave and steps < a.steps:
            return dist.destroy_process_group()
        if a.what == "save":
            checkpoint.save(trained.state(), checkpoint_id=a.checkpoint)
    if a.what not in ("time", "uneven"):
        out |= trained.digest()
    if rank == 0:
        print(json.dumps(out), flush=True)
    dist.barrier()
    dist.destroy_process_group()


def damage(directory):
    for name in sorted(f for f in os.listdir(directory) if f.endswith(".distcp")):
        with open(os.path.join(directory, name), "r+b") as file:
            middle = os.path.getsize(file.name) // 2
            file.seek(middle)
            byte = file.read(1)[0] ^ 1
            file.seek(middle)
            file.write(bytes([byte]))


def main():
    a = parse()
    if a.what in ("save", "resume", "damage") and not a.checkpoint:
        sys.exit("--checkpoint DIR is missing")
    if a.what == "damage":
        return damage(a.checkpoint)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes.spawn(run, (a, port), nprocs=a.ranks)


if __name__ == "__main__":
    main()
