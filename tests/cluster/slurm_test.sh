#!/usr/bin/env bash
# launch/slurm_train.sbatch under a real Slurm of three hosts, two of which compute:
#
#   tests/cluster/hosts.sh 3 tests/cluster/slurm.sh tests/cluster/slurm_test.sh LIME
#
# Takes three to four minutes, in most of which Slurm waits. Exit code 77: something that it needs is not there.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$source_dir/tests/cluster/checks.sh"
cd "$SHARED"
lime=$1
make_log_and_config

submit() {  # SBATCH OPTIONS -- SETTINGS
  local options=()
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  on node1 sbatch --parsable --nodes=2 --ntasks-per-node=2 --gpus-per-node=2 --cpus-per-task=2 --output=run.log \
    --export="ALL,LIME=$lime" "${options[*]}" "$source_dir/launch/slurm_train.sbatch" config.yaml run \
    device=cpu train.precision=f32 "$*"
}
field() { on node1 scontrol show job "$job" | grep -oE "\b$1=[^ ]*" | cut -d= -f2; }
ended() { wait_for 60 "on node1 scontrol show job $job | grep -qE 'JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)'"; }
logged() { wait_for 60 "grep -q '$1' run.log"; }
fresh() { rm -rf run run.log; }
long="train.epochs=1000 train.checkpoint_every=50"

step "told to end (SIGTERM), it writes a checkpoint and ends well"
job=$(submit -- "$long"); logged "step 20/"
on node1 scancel --signal=TERM "$job"; ended
expect "$(field JobState) $(field ExitCode)" = "COMPLETED 0:0"
expect_line run.log "stopped at step"
stopped=$(grep -oE "stopped at step [0-9]+" run.log | grep -oE "[0-9]+")

step "submitted again it goes on; cancelled, it writes a checkpoint as well"
job=$(submit -- "$long"); logged "resuming run/checkpoints/step-0*$stopped at step $stopped"; logged "step $((stopped / 10 * 10 + 40))/"
on node1 scancel "$job"; ended
expect "$(field JobState)" = CANCELLED
wait_for 10 "[ \$(grep -c 'stopped at step' run.log) = 2 ]"
sleep 1
expect "$(on node1 squeue --noheader)" = ""

step "a rank that dies: the job is queued again and goes on"
job=$(submit --export="ALL,LIME=$lime,LIME_RESTARTS=1" -- "$long"); wait_for 60 "[ \$(grep -c 'resuming' run.log) = 2 ]"; logged "checkpoint run/checkpoints/step-000000100"
kill -KILL "$(rank_on node3)"
logged "queued again"; wait_for 60 "[ \$(grep -c 'resuming' run.log) = 3 ]"
expect "$(field Restarts)" = 1

step "... as often as it may"
wait_for 60 "rank_on node3 >/dev/null"; sleep 1
kill -KILL "$(rank_on node3)"; ended
# 14 is what Open MPI 5 ends another rank with, if that notices first.
expect "$(field JobState) $(field ExitCode | sed 's/^14:/137:/')" = "FAILED 137:0"

step "a node that fails: the job is queued again, and goes on when the node is there"
fresh
job=$(submit -- "$long"); logged "checkpoint run/checkpoints/step-000000050"
fell node3
wait_for 90 "[ \"\$(field Restarts)\" = 1 ]"
boot node3; boot-slurm node3
logged "resuming run/checkpoints/"
on node1 scancel "$job"; ended

step "before its time ends it is told"
fresh
job=$(submit --time=1 --signal=TERM@30 -- "$long"); ended
expect "$(field JobState) $(field ExitCode)" = "COMPLETED 0:0"
expect_line run.log "stopped at step"

step "complete, it is left alone"
fresh
job=$(submit --); ended
expect "$(field JobState)" = COMPLETED
job=$(submit --); ended
expect "$(field JobState)" = COMPLETED
expect_line run.log "nothing to do: the run is complete"
"$lime" train config.yaml --out alone --set train.micro_batches=4 >/dev/null 2>&1
expect "$(digests run)" = "$(digests alone)"

step "a mistake is its exit code, and not queued again"
fresh
job=$(submit -- model.name=lime_xro); ended
expect "$(field JobState) $(field ExitCode) $(field Restarts)" = "FAILED 2:0 0"
expect "$(grep -c 'lime: error: ' run.log)" = 1
report
