#!/usr/bin/env bash
# bench/gpu_checks.sh runs every test of devices, but those of the emulator and those that start mpirun themselves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
device_tests=$(tr '\n' ' ' <<<"$(cat tests/*/CMakeLists.txt)" | grep -oE 'lime_add_test\([^)]*LABELS device' | grep -oE '\(\w+' | tr -d '(')
[ "$(wc -w <<<"$device_tests")" -gt 20 ] || { echo "found hardly any test of devices in tests/*/CMakeLists.txt"; exit 1; }
missing=0
for test in $device_tests; do
  case $test in *emulat* | race_check_test) continue ;; esac
  grep -qw "$test" bench/gpu_checks.sh && continue
  echo "$test: found no step of it in bench/gpu_checks.sh"
  missing=1
done
exit $missing
