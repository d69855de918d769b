#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Measure and write docs/performance.md: benchmarks/report/run.sh [build] [run] [write]   (default: all three)
#   build  Release builds with g++ and clang++, for this machine and for AVX2
#   run    the programs, each family in one process with its repetitions interleaved; JSON goes to $BUILD/results
#   write  docs/performance.md's tables, between their markers, and docs/performance/*.svg, from the JSON
# ONLY='gcc.decode gcc.threads' takes the JSON of these names again, after a disturbance say, and keeps the rest.
# Environment: BUILD (default build/report), CORE (0: where one-thread cases run), JOBS (build processes; default: one a
# core), REPETITIONS (9), MIN_TIME (0.1 seconds each), COMPILE_REPETITIONS (5).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=${BUILD:-build/report}
results=$build/results
core=${CORE:-0}
jobs=${JOBS:-$(nproc)}
repetitions=${REPETITIONS:-9}
compile_repetitions=${COMPILE_REPETITIONS:-5}
min_time=${MIN_TIME:-0.1}
configurations=(gcc clang gcc-avx2 clang-avx2)

do_build() {
  for name in "${configurations[@]}"; do
    local compiler=g++ options=()
    [[ $name == clang* ]] && compiler=clang++
    [[ $name == *-avx2 ]] && options=(-DLINATTN_NATIVE=OFF -DCMAKE_CXX_FLAGS=-march=x86-64-v3)
    echo "=== build: $name"
    mkdir -p "$build/$name"
    cmake -S . -B "$build/$name" -G Ninja -DCMAKE_CXX_COMPILER=$compiler -DCMAKE_BUILD_TYPE=Release \
      -DLINATTN_BUILD_TESTS=OFF -DLINATTN_BUILD_EXAMPLES=OFF -DLINATTN_BUILD_BENCHMARKS=ON -DLINATTN_CUDA=OFF \
      -DLINATTN_WERROR=ON "${options[@]}" > "$build/$name/configure.log" || { cat "$build/$name/configure.log"; exit 1; }
    for program in forward backward decode compile_time; do
      [[ $name == *-avx2 && $program == compile_time ]] && continue
      cmake --build "$build/$name" --parallel "$jobs" --target "linattn.benchmark.$program"
    done
  done
}

# measure NAME CONFIGURATION PROGRAM FILTER [one|all cores]: NAME is the JSON's. The file appears when it is complete.
# LABEL is the configuration's name in the report, if it is another than the build's.
measure() {
  local name=$1 configuration=$2 program=$3 filter=$4 repetitions=$repetitions pin=()
  local json=$results/${LABEL:-$configuration}.$name
  [[ -z ${ONLY:-} || " $ONLY " == *" ${json##*/} "* ]] || return 0
  taken+="${json##*/} "
  [[ $program == compile_time ]] && repetitions=$compile_repetitions   # seconds each
  [[ ${5:-one} == one ]] && pin=(taskset -c "$core")
  echo "=== run: $configuration $program ($filter)"
  "${pin[@]}" "$build/$configuration/benchmarks/$program" --benchmark_filter="$filter" \
    --benchmark_repetitions="$repetitions" --benchmark_min_time="$min_time" \
    --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true \
    --benchmark_out="$json.part" --benchmark_out_format=json > "$json.log"
  mv "$json.part" "$json.json"
}

# What malloc gives comes in huge pages by glibc 2.35 and newer, where the kernel lets a program ask for them.
has_huge_pages() {
  ! grep -qs '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled &&
    [[ $(printf '2.35\n%s\n' "$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)" | sort -V | head -1) == 2.35 ]]
}

do_run() {
  local taken=" "
  mkdir -p "$results"
  [[ -n ${ONLY:-} ]] || rm -f "$results"/*.json
  for name in gcc clang; do
    measure forward "$name" forward '^(head|maps|elements|fast)/'
    measure backward "$name" backward '^training/'
    measure decode "$name" decode '^decode(_loop)?/'
    measure compile "$name" compile_time .
  done
  for name in gcc-avx2 clang-avx2; do
    measure forward "$name" forward '^head/'
    measure backward "$name" backward '^training/'
    measure decode "$name" decode '^decode/in:cache/'
  done
  if has_huge_pages; then
    LABEL=gcc-huge GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
      measure forward gcc forward '^head/by:chunkwise/map:rebased/d:16/'
  else
    echo "=== not measured: tensors in huge pages, which this machine does not give"
  fi
  measure sweep gcc forward '^sweep/'
  measure threads gcc forward '^(started_)?threads/' all
  measure training_threads gcc backward '^training_threads/' all
  measure decode_threads gcc decode '^decode_threads/' all
  for name in ${ONLY:-}; do
    [[ $taken == *" $name "* ]] || { echo "run.sh: ONLY names $name, which is no JSON of a run" >&2; exit 2; }
  done
}

do_write() {
  python3 benchmarks/report/report.py --results "$results" --docs docs
}

steps=("$@")
[[ ${#steps[@]} -eq 0 ]] && steps=(build run write)
for step in "${steps[@]}"; do
  case "$step" in
    build | run | write) "do_$step" ;;
    *) echo "run.sh: got '$step'; accepts build, run and write" >&2; exit 2 ;;
  esac
done
