#!/usr/bin/env bash
# The training step of lime_xor against PyTorch's, one thread each, in one run on one machine:
#
#   bench/compare_pytorch.sh PYTHON TORCH_LIME.py [ROUNDS]
#
# 32 requests x 1024 events x 16 candidates, width 128, 4 heads, 32 links, 3 blocks (configs/bench-xor.yaml). The
# two programs take turns, so that a slow moment of the machine hits both; the GEMM rate is measured in between.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1 peer=$2 rounds=${3:-3}
. launch/mpi_environment.sh
lime=build/cpu/launch/lime
data=data/bench-xor
[ -d "$data" ] || "$lime" generate --preset bench-xor --out "$data"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for round in $(seq "$rounds"); do
  echo "== round $round"
  OMP_NUM_THREADS=1 "$python" "$peer" train --model lime_xor --device cpu --threads 1 --seconds 10 \
    --requests 32 --history 1024 --candidates 16 2>/dev/null | tee -a "$out/torch.jsonl" | grep -o '"median_ms".*'
  build/cpu/bench/bench_layers --benchmark_filter=training_step/lime_xor 2>/dev/null | tail -1
  "$lime" train configs/bench-xor.yaml --out "$out/run$round" 2>/dev/null
  tail -1 "$out/run$round/metrics.jsonl"
done
