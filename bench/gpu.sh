#!/usr/bin/env bash
# Everything that needs a GPU, in one go: build for this machine's card, tests, golden rows, the tests as an older card
# has them, compute-sanitizer, random delays, CUDA calls per token, speed. Results go to bench/results/DATE-COMMIT/.
#
#   bench/gpu.sh [PART...]
#
# PART: build tests older sanitizer delays calls speed types kernels (default: all, in this order).
#
# Needs no network. Environment:
#   REPRISE_TESTDATA      folder of larger test data (golden/, models/); without it those tests are skipped
#   REPRISE_GTEST_SOURCE  GoogleTest's source folder, where no installed GoogleTest is found
#   REPRISE_JSON_INCLUDE  folder of nlohmann/json.hpp, where it is not installed
#   REPRISE_BUILD         build folder (default: build/gpu); one that was built elsewhere does, without the part build
#   REPRISE_RESULTS       results folder
#   REPRISE_COMMIT        what was built, where that is no git checkout
#   REPRISE_BENCH_MODELS  "PRESET:TYPE ..." for reprise-synth (default: what README.md's table has)
#   GTEST_FILTER          leaves tests out; tests.txt names it
#   REPRISE_BENCH_TYPES   types of the 8B shapes whose share of the bandwidth is measured (default: all)
set -uo pipefail
cd "$(dirname "$0")/.." || exit

build=${REPRISE_BUILD:-build/gpu}
commit=${REPRISE_COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
results=${REPRISE_RESULTS:-bench/results/$(date -u +%Y-%m-%d)-$commit}
card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)
models=${REPRISE_BENCH_MODELS:-qwen2.5-1.5b:Q4_K_M llama-3.2-1b:Q4_K_M qwen2.5-0.5b:Q8_0 qwen2.5-1.5b:Q8_0 \
  qwen2.5-1.5b:F16 llama-3.1-8b:Q4_K_M qwen3-8b:Q4_K_M}
types=${REPRISE_BENCH_TYPES:-Q4_0 Q4_1 Q8_0 Q4_K_M Q5_K_M Q6_K F16 BF16}
story=java/cli/src/main/resources/dev/reprise/cli/reprise-stories-7M-Q4_K_M.gguf
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$results"
failures=()

# A result file starts with what it is a result of.
header() { printf '# %s\n# %s, commit %s, %s\n' "$1" "$(date -u +%FT%TZ)" "$commit" "$card"; }
failed() { failures+=("$1") && echo "FAILED: $1"; }

build() {  # build FOLDER OPTION...
  local tests=ON
  local options=(-DREPRISE_CUDA=ON)
  if [[ -n ${REPRISE_GTEST_SOURCE:-} ]]; then
    options+=(-DREPRISE_GTEST_SOURCE="$REPRISE_GTEST_SOURCE")
  elif [[ ! -f /usr/include/gtest/gtest.h && ! -f /usr/local/include/gtest/gtest.h ]]; then
    tests=OFF
    failed "tests: neither an installed GoogleTest nor REPRISE_GTEST_SOURCE"
  fi
  if [[ -n ${REPRISE_JSON_INCLUDE:-} ]]; then options+=(-DREPRISE_JSON_INCLUDE="$REPRISE_JSON_INCLUDE"); fi
  ci/native "$1" "${options[@]}" -DREPRISE_TESTS=$tests "${@:2}" >"$scratch/build.log" 2>&1 ||
    { tail -40 "$scratch/build.log"; failed "build of $1"; }
}

part_build() { build "$build" -DREPRISE_CUDA_ARCHITECTURES=native; }

# Straight from the program, so that a build from elsewhere does; several at once, the GPU is mostly idle.
run_tests() {  # run_tests FOLDER RESULT HEADER: leaves tests*.log in the scratch folder
  local program=$1/tests/reprise-tests shards=8 pids=() i passed=true
  local outcome='^\[ +(OK|FAILED|SKIPPED) +\] [A-Z].* \([0-9]+ ms\)$'
  [[ -x $program ]] || { failed "$2: no tests are built"; return 1; }
  for i in $(seq 0 $((shards - 1))); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i "$program" --gtest_brief=0 >"$scratch/tests$i.log" 2>&1 &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i" || passed=false; done
  $passed || failed "tests (see $results/$2)"
  {
    header "$3${GTEST_FILTER:+ with GTEST_FILTER=$GTEST_FILTER}"
    grep -hE "$outcome" "$scratch"/tests*.log | sort -k4
    grep -hB1 -A8 ': Failure' "$scratch"/tests*.log
  } >"$results/$2"
  grep -hE "$outcome" "$scratch"/tests*.log | awk '{ n[$2 == "OK" ? "OK" : $2]++ } END { for (k in n) print k, n[k] }'
}

part_tests() {
  run_tests "$build" tests.txt reprise-tests || return
  # Tests of programmatic launches skip where there are none.
  if [[ $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1) =~ ^(9|[1-9][0-9])\. ]] &&
    grep 'SKIPPED.*rogrammatic' "$results/tests.txt"; then
    failed "no programmatic launches"
  fi
  {
    header "golden rows: mean KL divergence from the exact logits, its bound, largest difference of a logit"
    grep -hE '^(\[ RUN +\] .*Golden|architecture|[a-z0-9_]+ +(F32|F16|BF16|Q[0-9]))' "$scratch"/tests*.log |
      awk '/RUN/ { name = $NF; next } /^architecture/ { print "\n## " name } { print }'
  } >"$results/golden.txt"
}

# What a card before Hopper runs: code for compute capability 8.0, and the least shared memory of those, that of 8.6 and
# 8.9.
part_older() {
  local older=$build-older options=(-DREPRISE_CUDA_ARCHITECTURES=80-virtual -DREPRISE_SHARED_KIB=100)
  [[ -x $older/tests/reprise-tests && -n ${REPRISE_BUILD:-} ]] || build "$older" "${options[@]}"
  run_tests "$older" tests-older.txt "reprise-tests, built with ${options[*]}"
}

# Small models: one whose context is long enough that attention combines parts of it, which the story model's is not;
# one of float weights.
small_models() {
  [[ -f $scratch/long.gguf ]] || synth smollm2-135m Q4_0 "$scratch/long.gguf" --layers 2
  [[ -f $scratch/float.gguf ]] || synth smollm2-135m F16 "$scratch/float.gguf" --layers 2
}

# A prompt and 8 steps behind it, and drawing by every way through the sampler.
part_sanitizer() {
  command -v compute-sanitizer >/dev/null || { failed "compute-sanitizer is not here"; return; }
  small_models
  local head="compute-sanitizer TOOL reprise-eval MODEL --device cuda --random N --prefill N-8 --mode MODE --kv TYPE "
  head+="(story: N = 108; long and float: smollm2-135m, 2 layers, Q4_0 and F16, N = 408 and 208), "
  head+="and reprise-tests CudaSampler.DrawsFromShortAndLongLists"
  header "$head" >"$results/sanitizer.txt"
  local tool run model n mode kv log pids=() options command
  for tool in memcheck racecheck synccheck; do
    # One tool after the other, since they take gigabytes of the host's memory; synccheck one run after the other, since
    # it keeps a list of barriers for every block, for which the device has no memory more than once.
    [[ ${#pids[@]} == 0 ]] || wait "${pids[@]%%:*}"
    options=(--tool "$tool" --error-exitcode 9)
    [[ $tool != synccheck ]] || options+=(--num-cuda-barriers 4096)
    for run in story-step-f16 story-graph-f16 long-graph-f16 long-graph-q8_0 long-graph-f32 float-graph-f16 sampler; do
      IFS=- read -r model mode kv <<<"$run"
      case $model in
        story) model=$story n=108 ;;
        float) model=$scratch/float.gguf n=208 ;;
        *) model=$scratch/long.gguf n=408 ;;
      esac
      command=("$build/bin/reprise-eval" "$model" --device cuda --random "$n" --prefill $((n - 8)) --mode "$mode"
        --kv "$kv" --logits "$scratch/logits-$tool-$run")
      if [[ $run == sampler ]]; then
        command=("$build/tests/reprise-tests" --gtest_filter=CudaSampler.DrawsFromShortAndLongLists)
      fi
      GTEST_FILTER='' compute-sanitizer "${options[@]}" "${command[@]}" >"$scratch/sanitizer-$tool-$run.log" 2>&1 &
      pids+=("$!:$tool-$run")
      [[ $tool != synccheck ]] || wait $!
    done
  done
  for run in "${pids[@]}"; do
    wait "${run%%:*}" || failed "${run#*:}"
    run=${run#*:}
    log=$scratch/sanitizer-$run.log
    echo "$run: $(grep SUMMARY "$log")" | tee -a "$results/sanitizer.txt"
    # What the tool could not watch has not been shown.
    if [[ $run == *sampler ]] && ! grep -q 'PASSED  \] 1 test' "$log"; then failed "$run: the test did not run"; fi
    if grep -qE 'overflow of tracked|track the launch' "$log"; then failed "$run: not all was tracked"; fi
    grep -v SUMMARY "$log" | grep -A12 -E '^reprise-|Error:|hazard|Invalid|Barrier error' | head -20 |
      tee -a "$results/sanitizer.txt"
  done
}

part_delays() {
  local delayed=$build-delays run model n mode kv round
  if [[ ! -x $delayed/bin/reprise-eval || -z ${REPRISE_BUILD:-} ]]; then
    if ! {
      cmake -S . -B "$delayed" -DREPRISE_CUDA=ON -DREPRISE_CUDA_ARCHITECTURES=native -DREPRISE_DELAYS=ON &&
        cmake --build "$delayed" --parallel "$(nproc)" --target reprise-eval
    } >"$scratch/build.log" 2>&1; then
      tail -20 "$scratch/build.log"
      failed "build with delays"
      return
    fi
  fi
  small_models
  local head="reprise-eval MODEL --random N --mode MODE --kv TYPE: logits with random delays before global stores "
  head+="against those without; story: N = 330, short (the same): N = 60, long and float (smollm2-135m, 2 layers, "
  head+="Q4_0 and F16): N = 500"
  header "$head" >"$results/delays.txt"
  for run in story-batch-f16 short-batch-f16 float-batch-f16 story-step-f16 story-graph-f16 long-graph-f16 \
    long-graph-q8_0; do
    IFS=- read -r model mode kv <<<"$run"
    case $model in
      story) model=$story n=330 ;;
      short) model=$story n=60 ;;
      *) model=$scratch/$model.gguf n=500 ;;
    esac
    local arguments=("$model" --device cuda --random "$n" --mode "$mode" --kv "$kv")
    "$build/bin/reprise-eval" "${arguments[@]}" --logits "$scratch/plain" || failed "delays, $run"
    for round in 1 2 3; do
      "$delayed/bin/reprise-eval" "${arguments[@]}" --logits "$scratch/delayed" || failed "delays, $run"
      verdict=equal
      if ! cmp -s "$scratch/plain" "$scratch/delayed"; then verdict=DIFFERENT && failed "delays, $run"; fi
      echo "$run, round $round: $verdict" | tee -a "$results/delays.txt"
    done
  done
}

part_calls() {
  local cuda=${CUDA_HOME:-/usr/local/cuda} folder cupti='' libraries
  for folder in "$cuda/extras/CUPTI/include" "$cuda/include" \
    "$(python3 -c 'import nvidia.cu13 as m; print(m.__path__[0])' 2>/dev/null)/include"; do
    if [[ -z $cupti && -f $folder/cupti.h ]]; then cupti=$folder; fi
  done
  [[ -n $cupti ]] || { failed "calls: no cupti.h"; return; }
  libraries=("$(dirname "$cupti")"/lib*/libcupti.so*)
  if ! g++ -O2 -std=c++20 -shared -fPIC -I"$cupti" -I"$cuda/include" bench/cuda_calls.cpp -o "$scratch/libcalls.so" \
    "${libraries[0]}" -Wl,-rpath,"$(dirname "${libraries[0]}")"; then
    failed "calls: the counter does not build"
    return
  fi
  {
    header "CUDA_INJECTION64_PATH=libcalls.so reprise-bench -m STORY -p 0 -n 256 -r 1 --graph graph"
    CUDA_INJECTION64_PATH=$scratch/libcalls.so LD_LIBRARY_PATH=$(dirname "${libraries[0]}"):${LD_LIBRARY_PATH:-} \
      "$build/bin/reprise-bench" -m "$story" -p 0 -n 256 -r 1 --graph graph 2>&1
  } | tee "$results/calls.txt"
  grep -q '^nothing but graph launches' "$results/calls.txt" || failed "other CUDA calls than graph launches"
}

# How far a model's logits are from those of exact arithmetic, by prefill, by replays of the fused step and by the
# unfused.
divergence() {
  local run n mode kl arguments
  for run in '6 batch' '6 graph' '6 graph --unfused' '200 batch'; do
    read -r n mode <<<"$run"
    arguments=("$1" --device cuda --random "$n")
    if [[ ! -f $scratch/exact$n ]]; then
      "$build/bin/reprise-eval" "${arguments[@]}" --exact --logits "$scratch/exact$n" ||
        { failed "exact $2"; continue; }
    fi
    # shellcheck disable=SC2086  # a mode and options
    if ! { "$build/bin/reprise-eval" "${arguments[@]}" --mode $mode --logits "$scratch/actual" &&
      kl=$(bench/divergence.py "$scratch/exact$n" "$scratch/actual" "$n"); }; then
      failed "divergence of $2 $mode"
      continue
    fi
    echo "$2 $mode: $kl" | tee -a "$results/divergence.txt"
  done
  rm -f "$scratch"/exact*
}

synth() { "$build/bin/reprise-synth" --preset "$1" --type "$2" -o "${@:3}" || { failed "synth $1 $2"; return 1; }; }
bench() { "$build/bin/reprise-bench" "$@"; }

part_speed() {
  local model name file hash
  header "mean KL divergence from exact arithmetic: reprise-eval --random 6, or 200, --mode MODE" \
    >"$results/divergence.txt"
  for model in $models; do
    name=${model%:*}-${model#*:} file=$scratch/$name.gguf
    rm -f "$scratch/ten"
    synth "${model%:*}" "${model#*:}" "$file" || continue
    {
      header "reprise-bench -m $name.gguf: graph; graph, KV cache in Q8_0; eager; as llama-bench measures; ten runs"
      bench -m "$file" -p 16,128,512,2048 -d 0,4096,16384 --graph graph && echo &&
        bench -m "$file" -p 0 -d 0,16384 --graph graph --kv q8_0 && echo &&
        bench -m "$file" -p 0 --graph eager && echo &&
        bench -m "$file" -p 0 --bench-equivalent && echo &&
        bench -m "$file" -p 0 -r 10 --graph graph | tee "$scratch/ten"
    } >"$results/speed-$name.md" 2>&1 || failed "speed of $model (see $results/speed-$name.md)"
    # The same tokens by another way: the host takes the largest of the logits that every step hands it.
    hash=$("$build/bin/reprise-eval" "$file" --device cuda --random 1 --greedy 257 --mode graph | cut -d' ' -f2)
    if [[ -n $hash ]] && grep -qF "| $hash |" "$scratch/ten"; then
      echo "reprise-eval --random 1 --greedy 257: $hash, the same" >>"$results/speed-$name.md"
    else
      failed "greedy path of $model: reprise-eval has '$hash'"
    fi
    cat "$results/speed-$name.md"
    divergence "$file" "$name"
    rm -f "$file"
  done
}

# The share of the bandwidth that every type reaches on the shapes of an 8B model, and a long context.
part_types() {
  local type kv file=$scratch/8b.gguf
  header "reprise-bench -m llama-3.1-8b-TYPE.gguf -p 0 -r 3 --graph graph; for Q4_K_M behind 65536 tokens too" \
    >"$results/types.md"
  for type in $types; do
    synth llama-3.1-8b "$type" "$file" || continue
    { echo && echo "$type:" && bench -m "$file" -p 0 -r 3 --graph graph; } 2>&1 | tee -a "$results/types.md" ||
      failed "$type"
    [[ $type == Q4_K_M ]] || continue
    for kv in f16 q8_0; do
      {
        echo && echo "$type, KV cache in $kv:" && bench -m "$file" -p 0 -r 3 -d 65536 --graph graph --kv "$kv"
      } 2>&1 | tee -a "$results/types.md" || failed "$type with $kv"
    done
  done
  rm -f "$file"
}

# Single kernels, with their versions.
part_kernels() {
  local program result
  for program in decode_chain attention_decode sampler; do
    [[ -x $build/tests/$program ]] || { failed "kernels: $program is not built"; continue; }
    result=$results/kernel-$program.txt
    { header "$program" && "$build/tests/$program"; } >"$result" 2>&1 || failed "$program (see $result)"
    cat "$result"
  done
}

read -ra parts <<<"${*:-build tests older sanitizer delays calls speed types kernels}"
for part in "${parts[@]}"; do
  echo "== $part ($(date +%T))"
  if declare -F "part_$part" >/dev/null; then "part_$part"; else failed "there is no part $part"; fi
done
printf '== %s\n' "${failures[@]/#/FAILED: }"
[[ ${#failures[@]} -eq 0 ]] && echo "== everything passed"
[[ ${#failures[@]} -eq 0 ]]
