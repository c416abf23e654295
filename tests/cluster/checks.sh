# shellcheck shell=bash
# What the tests in this folder share; sourced.
failed=0
current=
step() { current=$*; echo "-- $SECONDS s: $*"; }
fail() { failed=1; echo "FAILED: $current: $*" >&2; }
expect() {  # FOUND = EXPECTED
  [ "$1" = "$3" ] || fail "found '${1:0:200}', expected '${3:0:200}'; first difference: $(diff <(echo "$1") <(echo "$3") | sed -n 2,5p)"
}
expect_line() { grep -q -- "$2" "$1" || { fail "no '$2' in:"; tr '\r' '\n' <"$1" | tail -20 >&2; }; }  # FILE PATTERN
report() { [ $failed = 0 ] && echo "all as expected" || exit 1; }

wait_for() {  # SECONDS CONDITION
  local end=$((SECONDS + $1))
  until eval "$2" 2>/dev/null; do
    if [ $SECONDS -ge $end ]; then fail "waited $1 s for: $2"; return 1; fi
    sleep 0.1
  done
}

# The process of a rank of that host.
rank_on() {
  local space process
  space=$(readlink "/proc/$(cat "$HOSTS/$1.pid")/ns/net")
  for process in $(pgrep -x "$(basename "$lime")"); do
    [ "$(readlink "/proc/$process/ns/net")" != "$space" ] || { echo "$process"; return; }
  done
  return 1
}

# A run's newest checkpoint: where it stood, and a digest of each tensor and table.
digests() { "$lime" inspect --digests "$1/checkpoints/$(ls "$1/checkpoints" | tail -1)" 2>/dev/null | tail -n +2; }

# ./data and ./config.yaml: 4 ranks at most, 47 steps.
make_log_and_config() {
  "$lime" generate --users 60 --requests 3 --parts 4 --items 50 --days 3 --candidates 3 --history-min 0 --history-max 40 \
    --history-mean 12 --out data >/dev/null
  cat >config.yaml <<END
data: {path: data, train: 2024-01-01..2024-01-02, eval: 2024-01-03, max_history: 20}
features: {history: [item, action, age], candidate: [item, topic], user: [user, hour, segment]}
embeddings: {dim: 8, optimizer: adagrad, learning_rate: 0.05}
model: {name: lime_xor, width: 16, heads: 2, links: 4, blocks: 2, head_hidden: 8, max_positions: 16}
tasks: [click]
train: {batch_requests: 8, micro_batches: 4, log_every: 10, clip_norm: 1}
END
}

# Before an mpirun on node1, for ranks on all hosts, from a shell that was prepared for one machine before. Open MPI 4 sleeps before it kills what is left of a job that failed: not here. All
# hosts have the same cores: ranks are bound to none, and those that wait let others on.
environment=". $source_dir/launch/mpi_environment.sh && . $source_dir/launch/cluster_environment.sh && export OMPI_MCA_odls_base_sigkill_timeout=0 OMPI_MCA_mpi_yield_when_idle=1"
environment+=" OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none"
