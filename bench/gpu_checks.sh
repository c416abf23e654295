#!/usr/bin/env bash
# Every check and every benchmark that needs a GPU, in one call; one table at the end, logs in OUT.
#
#   bench/gpu_checks.sh PROGRAMS OUT [PEER.py]
#
# PROGRAMS: a directory with `lime`, the test programs, bench_cuda_attention and bench_embedding (all in it, or a build tree of preset cuda).
# PEER.py: torch_lime.py, to time PyTorch beside. LIME_RUN, where set, starts a program on ranks as `$LIME_RUN RANKS PROGRAM
# ARGS...`; else mpirun does. LIME_LIMIT_S (540) bounds the whole run: what does not fit is listed as not run.
# Exit code 1 where a check failed, or where no GPU is there.
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
launch() { local ranks=$1; shift; if [ -n "${LIME_RUN:-}" ]; then $LIME_RUN "$ranks" "$@"; else mpirun -np "$ranks" "$@"; fi; }
export -f launch
row() { printf '%-58s %-10s %6s s  %s\n' "$1" "$2" "$3" "$4" | tee -a "$table"; }

# step NAME SECONDS COMMAND...: runs it with a limit, its output to OUT/NAME.log.
step() {
  local name=$1 most=$2 begin=$SECONDS
  shift 2
  local left=$((limit - SECONDS))
  if [ "$left" -lt 5 ]; then row "$name" "NOT RUN" 0 "out of time"; failed=1; return; fi
  [ "$most" -gt "$left" ] && most=$left
  timeout "$most" "$@" >"$out/$name.log" 2>&1
  local rc=$? note
  note=$(awk '/^\[  PASSED  \]/ {passed += $4} /^\[  SKIPPED \] .*\(/ {++skipped} /ERROR SUMMARY/ {sub(/=*/, ""); summary = $0}
    END {if (passed || skipped) printf "%d passed, %d skipped ", passed, skipped; print summary}' "$out/$name.log")
  if [ $rc -eq 0 ]; then row "$name" ok $((SECONDS - begin)) "$note"; else row "$name" "FAILED $rc" $((SECONDS - begin)) "$note"; failed=1; fi
}

if ! nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/gpu.txt" | grep -q .; then
  echo "no GPU: nvidia-smi names none" | tee "$out/gpu.txt"
  failed=1
fi

# 1. The device tests; several ranks share the device where there is one.
for test in cuda_kernel_test runtime_test row_ops_test attention_test layer_test model_test golden_test training_test \
  device_parts_test device_transfer_test checkpoint_tensors_test device_sort_test embeddings_device_test \
  device_network_test; do
  [ -n "$(program $test)" ] && step "$test" 120 "$(program $test)"
done
for test in collectives_test gradient_buckets_test embeddings_collection_test; do
  for ranks in 1 2 4; do [ -n "$(program $test)" ] && step "${test}_np$ranks" 120 bash -c 'launch "$@"' _ "$ranks" "$(program $test)"; done
done

# 2. Sanitizers over the kernels.
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck; do
    for test in cuda_kernel_test row_ops_test attention_test embeddings_device_test; do
      [ -n "$(program $test)" ] &&
        step "${tool}_$test" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 "$(program $test)" --gtest_filter='*cuda*-*FullDevice*'  # where an allocation fails
    done
  done
else
  row compute-sanitizer "NOT RUN" 0 "not installed"
fi

# 3. Whole runs: the benchmark's step on the device, by precision, against PyTorch.
lime=$(program lime)
if [ -n "$lime" ]; then
  step generate 60 "$lime" generate --preset bench-xor --out "$out/bench-xor"
  for precision in f32 tf32 bf16; do
    rm -rf "$out/run-$precision"
    step "train_$precision" 60 "$lime" train "$here/configs/bench-xor.yaml" --out "$out/run-$precision" \
      --set data.path="$out/bench-xor" --set device=cuda --set train.precision=$precision
    [ -f "$out/run-$precision/metrics.jsonl" ] &&
      row "  requests/s, steps 16-20, $precision" "" "" "$(tail -1 "$out/run-$precision/metrics.jsonl" | grep -o '"requests_per_s":[0-9.]*')"
  done
fi
if [ -n "$peer" ]; then
  for mode in "" --compile; do
    step "pytorch_train$mode" 60 python3 "$peer" train --model lime_xor --device cuda --dtype bf16 --requests 32 --history 1024 --candidates 16 $mode
    step "pytorch_attention$mode" 60 python3 "$peer" attention --device cuda --dtype bf16 --width 256 --heads 4 --history 16384 --links 64 --requests 16 $mode
  done
fi

# 4. Attention against its two floors.
[ -n "$(program bench_cuda_attention)" ] && step bench_cuda_attention 120 "$(program bench_cuda_attention)" && cat "$out/bench_cuda_attention.log"

# 5. Embedding tables: gather and update as shares of the copy rate; against PyTorch.
if [ -n "$(program bench_embedding)" ]; then
  step bench_embedding 90 "$(program bench_embedding)" --device cuda --rows 20000000 --dim 128 --ids 4194304 --optimizer rowwise_adagrad --seconds 3 &&
    cat "$out/bench_embedding.log"
fi
[ -n "$peer" ] && step pytorch_embedding 60 python3 "$peer" embedding --device cuda --rows 20000000 --dim 128 --ids 4194304 --seconds 3

rm -rf "$out/bench-xor"
echo
cat "$out/gpu.txt" "$table"
exit $failed
