#!/usr/bin/env bash
# Every check and every benchmark that needs a GPU, in one call; one table at the end, logs in OUT.
#
#   bench/gpu_checks.sh PROGRAMS OUT [PEER.py]
#
# PROGRAMS: a directory with `lime`, the test programs, bench_cuda_attention and bench_embedding (all in it, or a build
# tree of preset cuda). PEER.py: torch_lime.py, to time PyTorch beside. LIME_RUN, where set, starts a program on ranks
# as `$LIME_RUN RANKS PROGRAM ARGS...`; else mpirun does. LIME_LIMIT_S (540) bounds the whole run: what does not fit is
# listed as not run. LIME_STEPS, a pattern (bash's =~), runs only steps with names that match: 'memcheck|quickstart'.
# LIME_KUAIRAND, where set, is the dataset of KuaiRand-Pure, which is then trained on as well.
# Exit code 1 where a check failed, a program skipped all of its cases though a GPU is there, or there is none.
set -uo pipefail
programs=$(cd "$1" && pwd) out=$2 peer=${3:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$out" && out=$(cd "$out" && pwd)
[ -n "${LIME_RUN:-}" ] || . "$here/launch/mpi_environment.sh"
limit=${LIME_LIMIT_S:-540}
table=$out/table.txt
: >"$table"
failed=0

program() { find "$programs" -name "$1" -type f -perm -u+x | head -1; }
launch() {
  local ranks=$1
  shift
  if [ -n "${LIME_RUN:-}" ]; then $LIME_RUN "$ranks" "$@"; else mpirun -np "$ranks" "$@"; fi
}
export -f launch
export LIME_GOLDEN_DIR=$here/tests/golden  # programs may have been built elsewhere
export GTEST_COLOR=no  # mpirun's output looks like a terminal, and what is skipped is counted
row() { printf '%-58s %-10s %6s s  %s\n' "$1" "$2" "$3" "$4" | tee -a "$table"; }

# step NAME SECONDS COMMAND...: runs it with a limit, its output to OUT/NAME.log.
step() {
  local name=$1 most=$2 begin=$SECONDS
  shift 2
  [[ $name =~ ${LIME_STEPS:-.} ]] || return 0
  local left=$((limit - SECONDS))
  if [ "$left" -lt 5 ]; then
    row "$name" "NOT RUN" 0 "out of time"
    failed=1
    return
  fi
  [ "$most" -gt "$left" ] && most=$left
  timeout -k 5 "$most" "$@" >"$out/$name.log" 2>&1  # lime itself only notes SIGTERM, and ends with its step
  local rc=$? note result=ok
  note=$(awk '/^\[  PASSED  \]/ {passed += $4}
    /^\[  SKIPPED \] .*\(/ {++skipped}
    /ERROR SUMMARY/ {sub(/=*/, ""); summary = $0}
    END {if (passed || skipped) printf "%d passed, %d skipped ", passed, skipped; print summary}' "$out/$name.log")
  [ -n "$gpu" ] && [[ $note == "0 passed"* ]] && rc="skipped"
  [ $rc = 0 ] || { result="FAILED $rc"; failed=1; }
  row "$name" "$result" $((SECONDS - begin)) "$note"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$out/gpu.txt"
gpu=$(cat "$out/gpu.txt")
if [ -z "$gpu" ]; then
  echo "no GPU: nvidia-smi names none" | tee "$out/gpu.txt"
  failed=1
fi

# 1. The device tests.
for test in cuda_kernel_test cutlass_test runtime_test primitives_test row_ops_test dispatch_test attention_test \
  attention_chunks_test query_attention_test history_compression_test cached_scoring_test latency_test layer_test step_test model_test \
  golden_test training_test device_parts_test device_transfer_test checkpoint_tensors_test device_sort_test \
  embeddings_device_test device_network_test train_step_test rank_bench_test; do
  # Instruction sets of the CPU are tested elsewhere.
  [ -n "$(program $test)" ] && step "$test" 60 "$(program $test)" --gtest_filter='-*/AVX*:*/SSE*:*/SSSE*'
done

# 2. Attention against its two floors; embedding tables as shares of the copy rate, and against PyTorch.
[ -n "$(program bench_cuda_attention)" ] && step bench_cuda_attention 100 "$(program bench_cuda_attention)"
table_sizes="--device cuda --rows 20000000 --dim 128 --ids 4194304 --seconds 3"
[ -n "$(program bench_embedding)" ] && for type in f32 bf16; do
  name=bench_embedding && [ $type = bf16 ] && name=bench_embedding_bf16
  step $name 60 "$(program bench_embedding)" $table_sizes --optimizer rowwise_adagrad --type $type
done
[ -n "$peer" ] && step pytorch_embedding 40 python3 "$peer" embedding $table_sizes
[ -n "$peer" ] && for mode in "" --compile; do
  step "pytorch_attention$mode" 40 python3 "$peer" attention --device cuda --dtype bf16 --width 256 --heads 4 \
    --history 16384 --links 64 --requests 16 --seconds 2 $mode
done

# 3. Whole training steps on the device, against PyTorch's of the same sizes; where their time goes; latency.
lime=$(program lime)
# train NAME SETTING...: twenty steps, and what the last five of them did.
train() {
  local name=$1
  shift
  local config=$here/configs/bench-xor.yaml
  local settings=(--set data.path="$out/bench-xor" --set device=cuda --set train.micro_batches=1 --set train.epochs=20)
  for setting in "$@"; do settings+=(--set "$setting"); done
  rm -rf "$out/run"
  step "train_$name" 60 "$lime" train "$config" --out "$out/run" --trace "$out/trace.json" "${settings[@]}"
  [ -f "$out/trace.json" ] && "$here/bench/step_shares.py" "$out/trace.json" 10 | tee "$out/shares_$name.txt"
  rm -rf "$out/run" "$out/trace.json"
  step "train_${name}_untraced" 60 "$lime" train "$config" --out "$out/run" "${settings[@]}"
  [ -f "$out/run/metrics.jsonl" ] || return
  local keys='"(requests_per_s|history_tokens_per_s|data_wait_ms|step_ms)":[0-9.]*'
  row "  steps 16-20 of $name" "" "" "$(tail -1 "$out/run/metrics.jsonl" | grep -oE "$keys" | tr '\n' ' ')"
}
small="--requests 32 --history 1024 --candidates 16"
large="--requests 256 --history 1024 --candidates 16 --width 256 --links 64"
if [ -n "$lime" ]; then
  step generate 60 "$lime" generate --preset bench-xor --out "$out/bench-xor"
  for precision in f32 tf32 bf16; do train "xor_small_$precision" train.precision=$precision; done
  train xor_large_bf16 train.precision=bf16 model.width=256 model.links=64 train.batch_requests=256
  train xor_small_bf16_offloaded train.precision=bf16 embeddings.memory=host
  train hstu_small_bf16 train.precision=bf16 model.name=hstu
  train mha_small_bf16 train.precision=bf16 model.name=mha
  step latency_cuda 60 "$lime" bench latency --device cuda --precision bf16 --type int8 --candidates 64,4096,32768 \
    --history 1024,16384 --widths 128 --items 32768 --seconds 0.3 --out "$out/latency"
  step bench_ranks 30 "$lime" bench ranks --device cuda --out "$out"
fi
[ -n "$peer" ] && for mode in "" --compile; do
  peer_train="train --device cuda --dtype bf16 --seconds 2 $mode"
  step "pytorch_xor_small$mode" 40 python3 "$peer" $peer_train --model lime_xor $small
  step "pytorch_xor_large$mode" 40 python3 "$peer" $peer_train --model lime_xor $large
  step "pytorch_hstu_small$mode" 40 python3 "$peer" $peer_train --model hstu $small
done

# 4. Several ranks, which share the device where there is one: they may wait for each other for long.
for test in collectives_test nccl_test gradient_buckets_test embeddings_collection_test embeddings_admission_test \
  history_parts_test train_step_on_ranks_test; do
  case $test in nccl_test | train_step_on_ranks_test) of_ranks=2 ;; history_parts_test) of_ranks="2 4" ;; *) of_ranks="1 2 4" ;; esac
  for ranks in $of_ranks; do
    # A GPU for each rank, and no fewer.
    [ $test = train_step_on_ranks_test ] && [ "$(wc -l <"$out/gpu.txt")" -lt "$ranks" ] && continue
    [ -n "$(program $test)" ] && step "${test}_np$ranks" 60 bash -c 'launch "$@"' _ "$ranks" "$(program $test)"
  done
done

# 5. The quickstart, and KuaiRand-Pure, on the device and on the CPU: the same metrics but for what a seed changes.
# compare NAME CONFIG DATASET
compare() {
  for device in cuda cpu; do
    step "$1_$device" 90 "$lime" train "$here/configs/$2" --out "$out/run-$1-$device" --set data.path="$3" --set device=$device
    [ -f "$out/run-$1-$device/eval.json" ] || continue
    metrics=$(tr -d ' \n' <"$out/run-$1-$device/eval.json" | grep -oE '"(auc|ne)":[0-9.]*' | head -2 | tr '\n' ' ')
    row "  AUC, NE of $1 on $device" "" "" "$metrics"
  done
}
if [ -n "$lime" ]; then
  step generate_quickstart 30 "$lime" generate --preset quickstart --out "$out/quickstart"
  compare quickstart quickstart.yaml "$out/quickstart"
  [ -n "${LIME_KUAIRAND:-}" ] && compare kuairand kuairand.yaml "$LIME_KUAIRAND"
fi

# 6. Sanitizers over the kernels, as long as there is time.
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck; do
    for test in cuda_kernel_test row_ops_test attention_test query_attention_test embeddings_device_test; do
      [ -n "$(program $test)" ] &&
        step "${tool}_$test" 40 compute-sanitizer --tool "$tool" --error-exitcode 9 "$(program $test)" \
          --gtest_filter='*cuda*:*Cuda*:Wgmma*-*FullDevice*:*Refused*'  # where calls fail that are to fail
    done
  done
else
  row compute-sanitizer "NOT RUN" 0 "not installed"
fi

for log in bench_cuda_attention bench_embedding bench_embedding_bf16 latency_cuda bench_ranks; do
  [ -f "$out/$log.log" ] && cat "$out/$log.log"
done
for log in "$out"/pytorch_*.log; do
  [ -f "$log" ] && echo "$(basename "$log" .log): $(grep -oE '"(median_ms|requests_per_s|forward)".*' "$log")"
done
rm -rf "$out/bench-xor" "$out/quickstart" "$out"/run*
echo
cat "$out/gpu.txt" "$table"
exit $failed
