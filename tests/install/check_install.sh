#!/usr/bin/env bash
# Installs a build and links programs of another project against it: check_install.sh BUILD_DIR [CXX_FLAGS]
set -euo pipefail
build=$1 cxx_flags=${2:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
cmake --install "$build" --prefix "$temp/prefix" >/dev/null
cmake -S "$here/consumer" -B "$temp/consumer" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$temp/prefix" \
      -DCMAKE_CXX_FLAGS="$cxx_flags" >/dev/null
cmake --build "$temp/consumer"
"$temp/consumer/consumer" | grep -q ' parameters$'
lime=$temp/prefix/bin/lime
"$lime" --version

# The scorer: its examples, against a run made on the spot. MPI is not looked for, nor linked.
share=$temp/prefix/share/lime-train
cmake -S "$share/examples" -B "$temp/examples" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$temp/prefix" \
      -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON -DCMAKE_CXX_FLAGS="$cxx_flags" >/dev/null
cmake --build "$temp/examples"
"$lime" generate --preset quickstart --users 60 --items 80 --out "$temp/data" >/dev/null
"$lime" train "$share/configs/quickstart.yaml" --set data.path="$temp/data" --set data.eval= --set train.max_steps=2 \
        --out "$temp/run" >/dev/null 2>&1
"$lime" cache build "$temp/run" --type int8 --out "$temp/cache.h5"
for example in score_request score_request_c; do
  if ldd "$temp/examples/$example" | grep -i 'libmpi\|libopen-rte'; then
    echo "$example links MPI"; exit 1
  fi
  "$temp/examples/$example" "$temp/run" "$temp/cache.h5" | tee "$temp/$example.out"
  grep -c '^item [0-9]*  click logit ' "$temp/$example.out" | grep -qx 5
done
# C and C++ say the same.
diff <(grep '^item' "$temp/score_request.out") <(grep '^item' "$temp/score_request_c.out")

# The shared library exports the C interface alone, needs no MPI, and serves Python.
library=$(find "$temp/prefix" -name liblime_scorer.so.0)
exported=$(nm -D --defined-only "$library" | awk '$2 == "T" {sub(/@.*/, "", $3); print $3}' | sort)
declared=$(grep -oE '\blime_[a-z_]+\(' "$temp/prefix/include/lime/serving/lime_scorer.h" | tr -d '(' | sort -u)
diff <(echo "$declared") <(echo "$exported")
if readelf -d "$library" | grep NEEDED | grep -i 'mpi'; then echo "$library needs MPI"; exit 1; fi
if [ -z "$cxx_flags" ]; then  # a sanitizer's library cannot be loaded by a program without it
  # By one line, without CMake: docs/scoring.md.
  development=$(dirname "$(find "$temp/prefix" -name liblime_scorer.so)")
  "${CC:-cc}" -I"$temp/prefix/include/lime" "$share/examples/score_request.c" -L"$development" -llime_scorer -o "$temp/score_request_line"
  LD_LIBRARY_PATH=$development "$temp/score_request_line" "$temp/run" "$temp/cache.h5" | diff "$temp/score_request_c.out" -
fi
if ! python3 -c 'import ctypes' 2>/dev/null; then  # python3-minimal has none
  echo "not checked, no python3 with ctypes: score_request.py"
elif [ -z "$cxx_flags" ]; then
  LIME_SCORER=$library "$share/examples/score_request.py" "$temp/run" "$temp/cache.h5" | tee "$temp/score_request_py.out"
  diff "$temp/score_request_c.out" "$temp/score_request_py.out"
  if LIME_SCORER=$library "$share/examples/score_request.py" "$temp/run" "$temp/none.h5" 2>"$temp/refused"; then
    echo "score_request.py opened a cache that is not there"; exit 1
  fi
  grep 'none.h5: no such file' "$temp/refused"
fi
