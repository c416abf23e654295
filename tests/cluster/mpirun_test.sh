#!/usr/bin/env bash
# Jobs of two hosts under mpirun, which reach each other by TCP only:
#
#   tests/cluster/hosts.sh 2 tests/cluster/mpirun_test.sh LIME MPIRUN [COLLECTIVES_TEST]
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$source_dir/tests/cluster/checks.sh"
cd "$SHARED"
lime=$1 mpirun=$2
open_mpi=$("$mpirun" --version | grep -oE '[0-9]+' | head -1)
make_log_and_config

# Open MPI 4 sleeps before it kills what is left of a job that failed: not here. Both hosts have the same cores: ranks are bound to none,
# and those that wait let others on.
environment=". $source_dir/launch/cluster_environment.sh && export OMPI_MCA_odls_base_sigkill_timeout=0 OMPI_MCA_mpi_yield_when_idle=1"
environment+=" OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none"
# OPTIONS -- COMMAND: four ranks on two hosts, no longer than 50 s; what it says is in ./out, and its exit code in $code.
job() {
  local options=
  while [ "$1" != -- ]; do options+=" $1"; shift; done
  shift
  code=0
  on node1 "$environment && exec timeout --kill-after=2 50 $mpirun -x OPENBLAS_NUM_THREADS=1 --host node1:2,node2:2 $options $*" \
    >out 2>&1 || code=$?
}
losses() { sed -n '/"train"/s/"requests".*//p' "$1/metrics.jsonl"; }
# The job was refused for one reason, which is the first line but for a launcher's warnings.
refused() {
  expect $code = 2
  expect "$(grep -c 'lime: error: ' out)" = 1
  grep -av '^\[node1:[0-9]*\] plm:ssh: Warning: ' out | head -1 | grep -q "lime: error: .*$1" || { fail "the first line does not say '$1'"; cat out >&2; }
}

step "the same bits as one process"
OPENBLAS_NUM_THREADS=1 "$lime" train config.yaml --out alone --set train.checkpoint_every=20 >/dev/null 2>&1
job -- "$lime" train config.yaml --out run
expect $code = 0
expect "$(losses run)" = "$(losses alone)"
expect "$(digests run)" = "$(digests alone)"
expect "$(tr -d ' \n' <run/environment.json | grep -o '"hosts":[^]]*')" = '"hosts":["node1","node1","node2","node2"'
expect "$(tail -n +2 run/eval.json | grep -v seconds)" = "$(tail -n +2 alone/eval.json | grep -v seconds)"

step "from one process to two hosts, and back"
"$lime" train config.yaml --out part --set train.max_steps=15 >/dev/null 2>&1
job -- "$lime" train --resume part --set train.max_steps=30
expect $code = 0
"$lime" train --resume part --set train.max_steps=0 >/dev/null 2>&1
expect "$(digests part)" = "$(digests alone)"

step "evaluation"
job -- "$lime" eval run
expect $code = 0
"$lime" eval run >alone.txt 2>/dev/null
expect "$(grep -E '^ ' out)" = "$(grep -E '^ ' alone.txt)"

if [ $# -ge 3 ]; then
  step "each host counts its ranks from 0"
  job -- "$3" "--gtest_filter=Group.*"
  expect $code = 0
fi

step "a run directory, dataset, configuration, checkpoint or program that is not the same on both hosts"
job -- "$lime" train config.yaml --out "$LOCAL/run"
refused "is not the same on node2 (rank 2) as on node1"
on node1 test ! -e "$LOCAL/run" || fail "a run that was refused leaves its directory"
on node1 cp -r run "$LOCAL/copy"
job -- "$lime" train --resume "$LOCAL/copy" --set train.epochs=2
refused "on node2: --resume: $LOCAL/copy is not a run directory"
on node2 cp -r run "$LOCAL/copy"
job -- "$lime" train --resume "$LOCAL/copy" --set train.epochs=2
refused "is not the same on node2"
job -- "$lime" eval "$LOCAL/copy"
expect $code = 0
on node2 "sed -i 's/  *//' $LOCAL/copy/checkpoints/step-*/manifest.json"
job -- "$lime" eval "$LOCAL/copy"
refused "rank 2 finds another file than rank 0"
on node1 cp -r data "$LOCAL/data"
job -- "$lime" train config.yaml --out other --set "data.path=$LOCAL/data"
refused "on node2: $LOCAL/data: no such directory"
on node2 "cp -r data $LOCAL/data && echo '#' >>$LOCAL/data/dataset.yaml"
job -- "$lime" train config.yaml --out other --set "data.path=$LOCAL/data"
refused "data/dataset.yaml is another one on node2 (rank 2)"
on node1 cp config.yaml "$LOCAL/config.yaml"
on node2 "sed 's/links: 4/links: 8/' config.yaml >$LOCAL/config.yaml"
job -- "$lime" train "$LOCAL/config.yaml" --out other
refused "found 'links: 8', expected 'links: 4' as on node1"
on node1 "cp $lime $LOCAL/lime"
on node2 "sed 's/yaml-cpp 0/yaml-cpp 9/' $lime >$LOCAL/lime && chmod +x $LOCAL/lime"
job -- "$LOCAL/lime" eval run
refused "lime is another one on node2 (rank 2)"

# A job that goes on for long, until a host is gone.
begin() {
  rm -rf long out
  (job "${1-}" -- "$lime" train config.yaml --out long --set train.epochs=1000; echo $code >code) &
  wait_for 60 "grep -q 'step 10/' out" || cat out >&2
}
gone() {
  local since=$SECONDS
  wait $!
  expect $((SECONDS - since < 30)) = 1
  [ "$open_mpi" -ge 5 ] || [ "$(cat code)" != 0 ] || fail "exit code 0"  # Open MPI 5's for a host that is lost
  [ "$(cat code)" != 124 ] || fail "it did not end by itself"
  expect_line out "$1"
  ! grep -q "^done: " out || fail "it says that it is done"
  wait_for 5 '! pgrep -x "$(basename "$lime")"'
}

step "a signal that mpirun passes on to both hosts"
begin
pkill -USR1 -x "$(basename "$mpirun")|prterun"
wait $!
expect "$(cat code)" = 0
expect_line out "stopped at step"

step "a host whose network is cut"
environment+=" $(echo {OMPI,PRTE}_MCA_oob_tcp_keepalive_time=2 {OMPI,PRTE}_MCA_oob_tcp_keepalive_intvl=1)"
begin
unplug node2
gone "daemon"
fell node2
boot node2

step "a host that dies"
begin
fell node2
gone "node2\|daemon"
boot node2

step "hosts that cannot reach each other by the network that MPI takes"
for node in 1 2; do
  on node$node "ip link add name docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up
    ip link add name silent type bridge && ip addr add 172.18.0.$node/16 dev silent && ip link set silent up
    ip neigh add 172.18.0.$((3 - node)) lladdr 02:00:00:00:00:0$node dev silent nud permanent"
done
job "--mca btl_tcp_if_include silent -x LIME_WAIT_LIMIT_S=2" -- "$lime" train config.yaml --out other
expect $code = 2
expect "$(grep -ao 'lime: error: .* of the start' out)" = "lime: error: rank 2, 3 cannot be reached within 2 s of the start"
job "-x LIME_WAIT_LIMIT_S=2" -- "$lime" train config.yaml --out other
expect "$((code != 0 && code != 124))" = 1
expect_line out "rank 2, 3 cannot be reached\|failed to TCP connect to a peer"  # Open MPI 4 waits, 5 does not
job "--mca btl_tcp_if_include eth0" -- "$lime" train config.yaml --out other
expect $code = 0
report
