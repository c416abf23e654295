#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that LIME-train is built from, if any is missing. `--check` only names them.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache git
  libopenmpi-dev openmpi-bin          # ranks
  libhdf5-dev hdf5-tools              # datasets and checkpoints; h5dump
  libopenblas-dev libhwy-dev          # matrix products; vector kernels
  libgoogle-glog-dev                  # logs
  libcli11-dev libyaml-cpp-dev nlohmann-json3-dev
  libxxhash-dev zlib1g-dev
  gzip bzip2 xz-utils zstd lz4        # import reads compressed logs through them
  python3-venv                        # import reads Parquet and the like through python3; for its tests, pyarrow from PyPI
  libboost-context-dev                # fibers: the CUDA emulator's threads
  libgtest-dev libgmock-dev libbenchmark-dev
  dpkg-dev file                       # Debian packages
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ "${1:-}" = --check ]; then echo "missing: ${missing[*]}"; exit 1; fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install_dependencies.sh: run as root, or install: ${missing[*]}" >&2; exit 2; }
  sudo=(sudo)
fi
echo "== installing ${#missing[@]} packages: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
