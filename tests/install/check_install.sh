#!/usr/bin/env bash
# Installs a build and links a program of another project against it: check_install.sh BUILD_DIR
set -euo pipefail
build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
cmake --install "$build" --prefix "$temp/prefix" >/dev/null
cmake -S "$here/consumer" -B "$temp/consumer" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$temp/prefix" >/dev/null
cmake --build "$temp/consumer"
"$temp/consumer/consumer" | grep -q ' parameters$'
"$temp/prefix/bin/lime" --version
