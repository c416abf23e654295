#!/usr/bin/env bash
# `lime bench ranks` on two hosts, one of which sends slowly:
#
#   tests/cluster/hosts.sh 2 tests/cluster/ranks_test.sh LIME MPIRUN
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$source_dir/tests/cluster/checks.sh"
cd "$SHARED"
lime=$1 mpirun=$2
mkdir runs

# Four ranks on two hosts; what they say is in ./out, and the exit code in $code.
bench() {
  code=0
  on node1 "$environment && exec timeout --kill-after=2 100 $mpirun --host node1:2,node2:2 $lime bench ranks --seconds 0.1 --file-mb 1 $*" \
    >out 2>&1 || code=$?
}

step "two hosts, and the link of each to the other"
bench --out runs --json ranks.json
expect $code = 0
expect_line out "^4 ranks on 2 hosts, device cpu, joined by mpi$"
expect_line out "^2 node2 "
expect_line out "^node1 to node2 "
expect_line out "^node2 to node1 "
expect "$(grep -c 'other bits' out || true)" = 0
expect "$(grep -c '"mb_s"' ranks.json)" = 2
expect "$(ls -A runs)" = ""

step "a host that sends slowly"
slow node2 20mbit
bench
expect $code = 0
expect_line out "^node2 to node1: 0\.[0-9]* of the median bandwidth between hosts"
expect "$(grep -c 'node1 to node2:' out || true)" = 0

step "a directory that is not the same on both hosts"
on node1 mkdir "$LOCAL/runs"
bench --out "$LOCAL/runs"
expect $code = 2
expect_line out "lime: error: --out: on node2 there is no directory $LOCAL/runs"
on node2 mkdir "$LOCAL/runs"
bench --out "$LOCAL/runs"
expect $code = 2
expect_line out "lime: error: .*$LOCAL/runs is not the same on node2 (rank 2) as on node1"
report
