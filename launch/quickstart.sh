#!/usr/bin/env bash
# From nothing to a trained model: installs what is missing, builds, generates a small log with a planted signal, trains
# LIME-XOR on 2 ranks under mpirun, evaluates the held-out day, and says where everything is.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

launch/install_dependencies.sh
# shellcheck source=launch/mpi_environment.sh
. launch/mpi_environment.sh

echo "== building"
cmake --preset cpu -DLIME_BUILD_TESTS=OFF -DLIME_BUILD_BENCH=OFF >build-quickstart.log 2>&1 ||
  { cat build-quickstart.log >&2; exit 1; }
cmake --build --preset cpu --target lime
rm -f build-quickstart.log
lime=$root/build/cpu/launch/lime

data=data/quickstart
run=runs/quickstart-$(date +%Y%m%d-%H%M%S)
[ -d "$data" ] || "$lime" generate --preset quickstart --out "$data"
"$lime" inspect "$data"
mpirun -np 2 "$lime" train configs/quickstart.yaml --out "$run"
"$lime" eval "$run"

cat <<EOF

program      $lime   (export PATH=$root/build/cpu/launch:\$PATH; lime --help)
data         $root/$data
run          $root/$run   (config.yaml, metrics.jsonl, tensorboard/, checkpoints/, eval.json)
go on        mpirun -np 2 $lime train --resume $run --set train.epochs=2
EOF
