#!/usr/bin/env bash
# Packs a build and uses what is in the packages: check_package.sh BUILD_DIR
# They hold what `cmake --install` installs (check_install.sh links against that); the program trains on two ranks.
set -euo pipefail
build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in dpkg-shlibdeps file; do
  command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
cpack --config "$build/CPackConfig.cmake" -G DEB -B "$temp/packages" >/dev/null
program=$(echo "$temp"/packages/lime-train_*.deb) development=$(echo "$temp"/packages/lime-train-dev_*.deb)
for package in libhdf5 libopenblas libopenmpi libyaml-cpp openmpi-bin; do
  dpkg-deb --field "$program" Depends | tr , '\n' | grep -q "^ *$package" || { echo "does not depend on $package"; exit 1; }
done
dpkg-deb --field "$development" Depends | grep -q "lime-train (= $(dpkg-deb --field "$program" Version))" ||
  { echo "lime-train-dev does not depend on this lime-train"; exit 1; }
dpkg-deb --extract "$program" "$temp/root"
dpkg-deb --extract "$development" "$temp/root"
scorer=$(echo "$temp"/packages/liblime-scorer*.deb)
dpkg-deb --field "$scorer" Depends | grep -q libhdf5 || { echo "the scorer's package does not depend on libhdf5"; exit 1; }
if dpkg-deb --field "$scorer" Depends | grep -i 'mpi'; then echo "the scorer's package needs MPI"; exit 1; fi
dpkg-deb --extract "$scorer" "$temp/root"
cmake --install "$build" --prefix "$temp/installed" >/dev/null
diff <(cd "$temp/root/usr" && find . ! -type d | sort) <(cd "$temp/installed" && find . ! -type d | sort)

lime=$temp/root/usr/bin/lime share=$temp/root/usr/share/lime-train
. "$share/mpi_environment.sh"
"$lime" --help >/dev/null
"$lime" generate --preset quickstart --users 60 --items 80 --out "$temp/data" >/dev/null
mpirun -np 2 "$lime" train "$share/configs/quickstart.yaml" --set data.path="$temp/data" --set data.eval= \
       --set train.max_steps=2 --out "$temp/run" 2>&1 | grep 'done: 2 steps'
