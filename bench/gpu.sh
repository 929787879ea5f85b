#!/usr/bin/env bash
# Everything that needs a GPU, in one go: build for this machine's card, tests, golden rows, compute-sanitizer, random
# delays, CUDA calls per token, speed. Results go to bench/results/DATE-COMMIT/.
#
#   bench/gpu.sh [PART...]      PART: build tests sanitizer delays calls speed (default: all, in this order)
#
# Needs no network. Environment:
#   REPRISE_TESTDATA      folder of larger test data (golden/, models/); without it those tests are skipped
#   REPRISE_GTEST_SOURCE  GoogleTest's source folder, where no installed GoogleTest is found
#   REPRISE_JSON_INCLUDE  folder of nlohmann/json.hpp, where it is not installed
#   REPRISE_BUILD         build folder (default: build/gpu); one that was built elsewhere does, without the part build
#   REPRISE_RESULTS       results folder
#   REPRISE_COMMIT        what was built, where that is no git checkout
#   REPRISE_BENCH_MODELS  "PRESET:TYPE ..." for reprise-synth (default: what README.md's table has)
set -uo pipefail
cd "$(dirname "$0")/.."

build=${REPRISE_BUILD:-build/gpu}
commit=${REPRISE_COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
results=${REPRISE_RESULTS:-bench/results/$(date -u +%Y-%m-%d)-$commit}
card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)
models=${REPRISE_BENCH_MODELS:-qwen2.5-1.5b:Q4_K_M llama-3.2-1b:Q4_K_M qwen2.5-0.5b:Q8_0 qwen2.5-1.5b:Q8_0 qwen2.5-1.5b:F16 llama-3.1-8b:Q4_K_M qwen3-8b:Q4_K_M}
story=java/cli/src/main/resources/dev/reprise/cli/reprise-stories-7M-Q4_K_M.gguf
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$results"
failures=()

# A result file starts with what it is a result of.
header() { printf '# %s\n# %s, commit %s, %s\n' "$1" "$(date -u +%FT%TZ)" "$commit" "$card"; }
failed() { failures+=("$1") && echo "FAILED: $1"; }
# Little-endian int32 ids 1, 2, ... N.
ids() { for i in $(seq 1 "$1"); do printf "\\x$(printf %02x "$i")\\x00\\x00\\x00"; done; }

part_build() {
  local tests=ON
  local options=(-DREPRISE_CUDA=ON -DREPRISE_CUDA_ARCHITECTURES=native)
  if [[ -n ${REPRISE_GTEST_SOURCE:-} ]]; then
    options+=(-DREPRISE_GTEST_SOURCE="$REPRISE_GTEST_SOURCE")
  elif [[ ! -f /usr/include/gtest/gtest.h && ! -f /usr/local/include/gtest/gtest.h ]]; then
    tests=OFF
    failed "tests: neither an installed GoogleTest nor REPRISE_GTEST_SOURCE"
  fi
  if [[ -n ${REPRISE_JSON_INCLUDE:-} ]]; then options+=(-DREPRISE_JSON_INCLUDE="$REPRISE_JSON_INCLUDE"); fi
  ci/native "$build" "${options[@]}" -DREPRISE_TESTS=$tests >"$scratch/build.log" 2>&1 ||
    { tail -40 "$scratch/build.log"; failed build; }
}

part_tests() {
  [[ -x $build/tests/reprise-tests ]] || { failed "tests: none are built"; return; }
  # Straight from the program, so that a build from elsewhere does; several at once, the GPU is mostly idle.
  local shards=4 pids=() i
  for i in $(seq 0 $((shards - 1))); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i "$build/tests/reprise-tests" --gtest_brief=0 >"$scratch/tests$i.log" 2>&1 &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i" || failed "tests (see $results/tests.txt)"; done
  {
    header "reprise-tests"
    grep -hE '^\[ +(OK|FAILED|SKIPPED) +\] [A-Z]' "$scratch"/tests?.log | grep -v ', listed below' | sort -k4
    grep -hB1 -A8 ': Failure' "$scratch"/tests?.log
  } >"$results/tests.txt"
  {
    header "golden rows on every backend: mean KL divergence from the exact logits"
    grep -hE '^(architecture|[a-z0-9_]+ +(F32|F16|BF16|Q[0-9]))' "$scratch"/tests?.log
  } >"$results/golden.txt"
  grep -hE '^\[ +(OK|FAILED|SKIPPED) +\] [A-Z]' "$scratch"/tests?.log | grep -v ', listed below' | awk '{ n[$2 == "OK" ? "OK" : $2]++ } END { for (k in n) print k, n[k] }'
}

part_sanitizer() {
  command -v compute-sanitizer >/dev/null || { failed "compute-sanitizer is not here"; return; }
  header "compute-sanitizer on prefill of 40 tokens and on 8 decode steps, eager and as a graph" >"$results/sanitizer.txt"
  ids 40 >"$scratch/prompt.i32" && ids 8 >"$scratch/steps.i32"
  local tool mode tokens
  for tool in memcheck racecheck synccheck; do
    for mode in batch step graph; do
      tokens=$([[ $mode == batch ]] && echo prompt || echo steps)
      compute-sanitizer --tool $tool --error-exitcode 9 "$build/bin/reprise-eval" "$story" --device cuda --mode $mode \
        --tokens "$scratch/$tokens.i32" --logits "$scratch/logits" >"$scratch/sanitizer.log" 2>&1 || failed "$tool, $mode"
      echo "$tool $mode: $(tail -1 "$scratch/sanitizer.log")" | tee -a "$results/sanitizer.txt"
      grep -A12 -m1 -E 'Error:|hazard|Invalid|Barrier error' "$scratch/sanitizer.log" | head -20 | tee -a "$results/sanitizer.txt"
    done
  done
}

part_delays() {
  local delayed=$build-delays mode
  if [[ ! -x $delayed/bin/reprise-eval || -z ${REPRISE_BUILD:-} ]]; then
    cmake -S . -B "$delayed" -DREPRISE_CUDA=ON -DREPRISE_CUDA_ARCHITECTURES=native -DREPRISE_DELAYS=ON >/dev/null &&
      cmake --build "$delayed" --parallel "$(nproc)" --target reprise-eval >"$scratch/build.log" 2>&1 ||
      { tail -20 "$scratch/build.log"; failed "build with delays"; return; }
  fi
  header "logits with random delays before global stores against those without" >"$results/delays.txt"
  ids 120 >"$scratch/ids.i32"
  for mode in batch step graph; do
    "$build/bin/reprise-eval" "$story" --device cuda --mode $mode --tokens "$scratch/ids.i32" --logits "$scratch/plain" || failed "delays, $mode"
    for round in 1 2 3; do
      "$delayed/bin/reprise-eval" "$story" --device cuda --mode $mode --tokens "$scratch/ids.i32" --logits "$scratch/delayed" || failed "delays, $mode"
      if cmp -s "$scratch/plain" "$scratch/delayed"; then verdict=equal; else verdict=DIFFERENT && failed "delays, $mode"; fi
      echo "$mode, round $round: $verdict" | tee -a "$results/delays.txt"
    done
  done
}

part_calls() {
  local cupti
  cupti=$(for d in "${CUDA_HOME:-/usr/local/cuda}/extras/CUPTI/include" "${CUDA_HOME:-/usr/local/cuda}/include" \
    "$(python3 -c 'import nvidia.cu13 as m; print(m.__path__[0])' 2>/dev/null)/include"; do [[ -f $d/cupti.h ]] && echo "$d" && break; done)
  [[ -n $cupti ]] || { failed "calls: no cupti.h"; return; }
  local libraries
  libraries=$(dirname "$(ls "$(dirname "$cupti")"/lib*/libcupti.so* 2>/dev/null | head -1)")
  g++ -O2 -std=c++20 -shared -fPIC -I"$cupti" -I"${CUDA_HOME:-/usr/local/cuda}/include" bench/cuda_calls.cpp -o "$scratch/libcalls.so" \
    "$(ls "$libraries"/libcupti.so* | head -1)" -Wl,-rpath,"$libraries" || { failed "calls: the counter does not build"; return; }
  {
    header "CUDA_INJECTION64_PATH=libcalls.so reprise-bench -m STORY -p 0 -n 256 -r 1 --graph graph"
    CUDA_INJECTION64_PATH=$scratch/libcalls.so LD_LIBRARY_PATH=$libraries:${LD_LIBRARY_PATH:-} \
      "$build/bin/reprise-bench" -m "$story" -p 0 -n 256 -r 1 --graph graph 2>&1
  } | tee "$results/calls.txt"
  grep -q '^nothing but graph launches' "$results/calls.txt" || failed "other CUDA calls than graph launches"
}

# How far a model's logits are from those of exact arithmetic, by prefill and by replays.
divergence() {
  ids 6 >"$scratch/few.i32"
  "$build/bin/reprise-eval" "$1" --device cuda --exact --tokens "$scratch/few.i32" --logits "$scratch/exact" || { failed "exact $2"; return; }
  for mode in batch graph; do
    "$build/bin/reprise-eval" "$1" --device cuda --mode $mode --tokens "$scratch/few.i32" --logits "$scratch/actual" &&
      echo "$2 $mode: $(bench/divergence.py "$scratch/exact" "$scratch/actual" 6)" | tee -a "$results/divergence.txt" || failed "divergence of $2"
  done
}

part_speed() {
  local model name mode
  header "mean KL divergence from exact arithmetic" >"$results/divergence.txt"
  for model in $models; do
    name=${model%:*}-${model#*:}
    "$build/bin/reprise-synth" --preset "${model%:*}" --type "${model#*:}" -o "$scratch/$name.gguf" || { failed "synth $model"; continue; }
    {
      header "reprise-bench -m $name.gguf"
      "$build/bin/reprise-bench" -m "$scratch/$name.gguf" -p 512,2048 -d 0,4096,16384 --graph graph
      echo
      "$build/bin/reprise-bench" -m "$scratch/$name.gguf" -p 0 --graph eager
      echo
      "$build/bin/reprise-bench" -m "$scratch/$name.gguf" -p 0 --bench-equivalent
    } >"$results/speed-$name.md" 2>&1 || failed "speed of $model (see $results/speed-$name.md)"
    cat "$results/speed-$name.md"
    divergence "$scratch/$name.gguf" "$name"
    rm -f "$scratch/$name.gguf"
  done
}

for part in "${@:-build tests sanitizer delays calls speed}"; do
  for part in $part; do
    echo "== $part ($(date +%T))"
    "part_$part"
  done
done
printf '== %s\n' "${failures[@]/#/FAILED: }"
[[ ${#failures[@]} -eq 0 ]] && echo "== everything passed"
[[ ${#failures[@]} -eq 0 ]]
