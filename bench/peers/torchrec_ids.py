#!/usr/bin/env python3
"""Ids that a table has no row for, on the CPU: what FBGEMM reads, and what TorchRec's managed collisions map them to.

  PYTHON bench/peers/torchrec_ids.py

PYTHON has torch, torchrec and fbgemm-gpu-cpu. docs/peers.md says what was seen.
"""
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import BoundsCheckMode, EmbeddingLocation
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (ComputeDevice,
                                                                    SplitTableBatchedEmbeddingBagsCodegen)
from torchrec.modules.mc_modules import DistanceLFU_EvictionPolicy, MCHManagedCollisionModule
from torchrec.sparse.jagged_tensor import JaggedTensor

CPU = torch.device("cpu")


def out_of_range():
    for mode in [None, BoundsCheckMode.FATAL]:  # None: what a user gets who says nothing
        more = {} if mode is None else {"bounds_check_mode": mode}
        table = SplitTableBatchedEmbeddingBagsCodegen(
            [(10, 4, EmbeddingLocation.HOST, ComputeDevice.CPU)], optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
            device=CPU, **more)
        table.split_embedding_weights()[0].copy_(torch.arange(10.0).repeat_interleave(4).view(10, 4))
        for index in 3, 12, 1 << 40:
            try:
                row = f"row {int(table(torch.tensor([index]), torch.tensor([0, 1]))[0][0])}"
            except RuntimeError as e:
                row = f"{type(e).__name__}: {str(e)[:70]}"
            checked = mode.name if mode is not None else "not set"
            print(f"FBGEMM, 10 rows, bounds check {checked}, index {index}: {row}")


def managed_collisions():
    slots = MCHManagedCollisionModule(zch_size=8, device=CPU, eviction_policy=DistanceLFU_EvictionPolicy(),
                                      eviction_interval=1, input_hash_size=1 << 62).train()
    ids = torch.tensor([10**12 + i for i in range(12)] + [7, 10**15])
    for step in range(3):
        features = slots.preprocess({"f": JaggedTensor(ids, torch.ones(len(ids), dtype=torch.int64))})
        slots.profile(features)
        print(f"managed collisions, 8 slots, 14 ids, step {step}: {slots.remap(features)['f'].values().tolist()}")


if __name__ == "__main__":
    out_of_range()
    managed_collisions()
