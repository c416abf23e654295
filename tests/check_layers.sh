#!/usr/bin/env bash
# The layering (docs/architecture.md): a folder includes only the folders below it, and a third-party header has one home.
# Prints each offending line and exits 1 if there is any.
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"

declare -A may_include=(
  [runtime]="runtime"
  [parallel]="parallel runtime"
  [layers]="layers parallel runtime"
  [embeddings]="embeddings parallel runtime"
  [io]="io runtime"
  [model]="model layers embeddings io parallel runtime"
  [serving]="serving model layers embeddings io parallel runtime"
  [launch]="launch serving model layers embeddings io parallel runtime"
)
folders="runtime parallel layers embeddings io model serving launch"
bad=0
sources() { find "$@" -name '*.h' -o -name '*.cc' -o -name '*.cu' | sort; }

for folder in $folders; do
  allowed=" ${may_include[$folder]} "
  while IFS=: read -r file line include; do
    target=${include#*\"}; target=${target%%/*}
    case " $folders " in *" $target "*) ;; *) continue ;; esac
    case $allowed in *" $target "*) ;; *)
      echo "$file:$line: $folder/ may not include $target/ (${include})"; bad=1 ;;
    esac
  done < <(sources "$folder" | xargs -r grep -nE '^#include "[a-z_]+/' || true)
done

# pattern of the include | files where it may stand
homes=(
  'mpi\.h|^parallel/(process_group\.cc|comm_mpi\.cc|mpi_greeting\.cc|mpi_engine\.h)$'
  'nccl\.h|^parallel/nccl_library\.h$'
  'hdf5\.h|^io/hdf5_library\.h$'
  'cblas\.h|^runtime/primitives_cpu\.cc$'
  'hwy/|^(runtime/kernels_[a-z_]+(\.cc|-inl\.h)|layers/(attention/)?[a-z_]+(_cpu\.cc|-inl\.h))$'
  '(immintrin|cpuid)\.h|^runtime/kernels_amx\.cc$'
  'CLI/|^launch/'
  'yaml-cpp/|^io/yaml_document\.(h|cc)$'
  'nlohmann/|^(model/|launch/|runtime/trace\.cc$|io/json_fields\.cc$)'
  'xxhash\.h|^(io/import_values|model/file_checksum)\.cc$'
  'cuda|^([a-z]+/(attention/)?[a-z_]+_cuda\.cu|runtime/[a-z_]+_cuda\.cc|runtime/cuda_kernel[a-z_]*\.h)$'
  'cub/|^runtime/device_sort_cuda\.cu$'
  'cublas|^runtime/cublaslt\.h$'
  'boost/|^runtime/emulator/emulator\.cc$'
)
for home in "${homes[@]}"; do
  pattern=${home%%|^*}; where=^${home#*|^}
  while IFS=: read -r file line include; do
    [[ $file =~ $where ]] || { echo "$file:$line: $include belongs in $where"; bad=1; }
  done < <(sources $folders | xargs -r grep -nE "^#include <$pattern" || true)
done
# What serves a model needs no MPI: of parallel/, it knows what one process has. Neither do layers.
while IFS=: read -r file line include; do
  echo "$file:$line: $include needs MPI; model/, layers/ and serving/ do without"; bad=1
done < <(sources model layers serving embeddings | xargs -r grep -nE '^#include "parallel/(process_group|comm_|mpi_|device_)' || true)
# GCC 12's headers bring <algorithm> along in places where GCC 14's do not.
algorithms='std::(find|find_if|count|count_if|sort|stable_sort|is_sorted|nth_element|max_element|min_element|minmax_element'
algorithms+='|lower_bound|upper_bound|partition_point|all_of|any_of|none_of|transform|generate|clamp|unique|reverse|remove_if|shuffle)\('
while read -r file; do
  echo "$file: uses $(grep -oE "$algorithms" "$file" | head -1 | tr -d '('), expected #include <algorithm>"; bad=1
done < <(sources $folders tests bench examples | xargs -r grep -lE "$algorithms" | xargs -r grep -L '^#include <algorithm>' || true)
[ $bad -eq 0 ] && echo "layers: ok"
exit $bad
