#!/usr/bin/env bash
# Installs what is missing, builds with warnings as errors, and passes all tests. CUDA code is
# compiled where nvcc is; its kernels are run everywhere, by the emulator (docs/adr/0006), which finds races, in a second tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

launch/install_dependencies.sh
# shellcheck source=launch/mpi_environment.sh
. launch/mpi_environment.sh

tests/pyarrow.sh
export PATH="$PWD/build/python/bin:$PATH"
cmake --preset ci
cmake --build --preset ci
ctest --preset ci "$@"
cmake --preset ci-emulated
cmake --build --preset ci-emulated
ctest --preset ci-emulated "$@"
