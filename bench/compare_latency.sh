#!/usr/bin/env bash
# What a request costs, against PyTorch's models of the same sizes, one thread each, in one run on one machine:
#
#   bench/compare_latency.sh PYTHON TORCH_LIME.py [ROUNDS] [LIME]
#
# 4,096 candidates, 1,024 events, width 128, 4 heads, 32 links, 3 blocks. Both cache what an item alone decides, for
# the LIME models. The two programs take turns, so that a slow moment of the machine hits both. Prints medians in
# ms and ratios.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1 peer=$2 rounds=${3:-3} lime=${4:-build/cpu/launch/lime}
. launch/mpi_environment.sh
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
printf '%-5s %-10s %10s %10s %7s\n' round model 'PyTorch ms' 'lime ms' ratio
for round in $(seq "$rounds"); do
  for model in mha hstu lime_mha lime_xor; do
    torch_ms=$(OMP_NUM_THREADS=1 "$python" "$peer" score --model $model --device cpu --threads 1 --seconds 3 \
      --history 1024 --candidates 4096 2>/dev/null | grep -o '"median_ms": [0-9.]*' | tail -1 | cut -d' ' -f2)
    "$lime" bench latency --models $model --candidates 4096 --history '' --widths '' --seconds 3 \
      --out "$out" >/dev/null 2>&1
    lime_ms=$(grep -o '"median_ms": [0-9.]*' "$out/latency.json" | cut -d' ' -f2)
    awk -v r="$round" -v m=$model -v t="$torch_ms" -v l="$lime_ms" \
      'BEGIN { printf "%-5s %-10s %10.3f %10.3f %7.2f\n", r, m, t, l, t / l }'
  done
done
