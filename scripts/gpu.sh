#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Everything that needs a GPU: scripts/gpu.sh [STEP...]   (default: all of these, in this order)
#   build            compiles what follows for the GPU that is there (ARCHITECTURE=90a overrides)
#   primitives       each device primitive against a formula: if this fails, nothing else means anything
#   tests            the CUDA examples and the conformance tests of every map, strategy and element type
#   gradients        the gradient tests of every map, strategy and element type
#   sanitize [TOOL]  compute-sanitizer on a reduced set: memcheck racecheck initcheck synccheck, or one of them
#   bench            forward, and forward with backward, on the same shapes: linattn, PyTorch, flash-linear-attention;
#                    and decoding
#   tuning           what other numbers of tuning/cuda.hpp would give
#   report           a table, and docs/gpu/<date>-<device>.md and .json
#   --pack           here, with a network: fills gpu_carry/ with what that machine may lack (doctest, wheels)
#   --check-peers    here, after --pack: the peers' answers by Triton's interpreter, with the Python of
#                    benchmarks/peers/setup.sh (or PYTHON, which must have PyTorch and Triton)
# Needs there: nvcc, CMake 3.21, a C++20 compiler; python3 for the report; PyTorch and Triton for the peers. Downloads
# nothing but in --pack. A step ends within ten minutes (LIMIT seconds), so each can be a command of its own; what is
# built and measured stays in build/gpu. Exit code 77: no GPU, with all done that can be done without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
carry=$PWD/gpu_carry
build=$PWD/build/gpu
results=$build/results
limit=${LIMIT:-570}
jobs=${JOBS:-$(nproc)}
side_by_side=$((jobs > 14 ? 14 : jobs))   # tests: most of their time is the oracle's, on the CPU
PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin

has_gpu() { nvidia-smi --query-gpu=name --format=csv,noheader > /dev/null 2>&1; }

# Without a GPU a step stops before its first launch.
need_gpu() {
  if ! has_gpu; then
    echo "skipped: no GPU on this machine ($1)"
    exit 77
  fi
}

built() { [[ -x $1 ]] || { echo "gpu.sh: $1 is missing; run: scripts/gpu.sh build" >&2; exit 1; }; }

pack() {
  mkdir -p "$carry/doctest/include/doctest" "$carry/wheels"
  local header
  for header in /usr/include/doctest/doctest.h "${DOCTEST:-}"; do
    [[ -r $header ]] && cp "$header" "$carry/doctest/include/doctest/"
  done
  cat > "$carry/doctest/doctest-config.cmake" << 'CONFIG'
if(NOT TARGET doctest::doctest)
  add_library(doctest::doctest INTERFACE IMPORTED)
  set_target_properties(doctest::doctest PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}/include")
endif()
CONFIG
  [[ -r $carry/doctest/include/doctest/doctest.h ]] || { echo "gpu.sh: no doctest.h; set DOCTEST to one" >&2; exit 1; }
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$carry/wheels" \
    fla-core einops packaging ||
    echo "gpu.sh: the wheels could not be had; the bench will leave flash-linear-attention out"
  du -sh "$carry"
}

architecture() {
  if [[ -n ${ARCHITECTURE:-} ]]; then
    echo "$ARCHITECTURE"
  elif has_gpu; then
    local capability
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d '. ')
    # The suffix adds instructions that only this generation has; CUDA knows it from 90 on.
    if [[ $capability -ge 90 ]]; then echo "${capability}a"; else echo "$capability"; fi
  else
    echo 90a
  fi
}

build() {
  mkdir -p "$results"
  local options=()
  if [[ -d $carry/doctest ]]; then options+=("-Ddoctest_DIR=$carry/doctest"); fi
  if command -v ninja > /dev/null; then options+=(-G Ninja); fi
  options+=("-DCMAKE_CUDA_ARCHITECTURES=$(architecture)-real" -DCMAKE_BUILD_TYPE=Release -DLINATTN_CUDA=ON
            -DLINATTN_GPU_TESTS=ON -DLINATTN_TOOL_TESTS=OFF -DLINATTN_BUILD_BENCHMARKS=ON)
  cmake -S . -B "$build" "${options[@]}" > "$build/configure.log" || { cat "$build/configure.log"; exit 1; }
  timeout "$limit" cmake --build "$build" --parallel "$jobs" \
    --target linattn_gpu example_02_cuda_stream example_05_train_rebased_cuda
}

# run NAME SECONDS COMMAND...: its output goes to NAME.log, its outcome to the screen and to outcomes.tsv.
run() {
  local name=$1 seconds=$2 status=0 outcome begin=$SECONDS
  shift 2
  timeout "$seconds" "$@" > "$results/$name.log" 2>&1 || status=$?
  case $status in
    0) outcome=passed ;;
    77) outcome=skipped ;;
    124) outcome="not finished" ;;
    *) outcome=FAILED ;;
  esac
  printf '%s\t%s\t%s\n' "$name" "$outcome" "$((SECONDS - begin))" | tee -a "$results/$step.tsv"
  if [[ $outcome == FAILED ]]; then tail -15 "$results/$name.log"; fi
  [[ $outcome != FAILED ]]
}

begin_step() {
  step=$1
  mkdir -p "$results"
  : > "$results/$step.tsv"
}

primitives() {
  built "$build/gpu/primitives"
  need_gpu primitives
  begin_step primitives
  run primitives 120 "$build/gpu/primitives"
}

# run_all PROGRAM...: side by side, within the step's limit.
run_all() {
  local program end=$((SECONDS + limit))
  for program in "$@"; do
    wait_for_fewer_than "$side_by_side"
    local left=$((end - SECONDS))
    if [[ $left -lt 5 ]]; then left=5; fi
    run "$(basename "$program")" "$left" "$program" &
  done
  none_failed
}

wait_for_fewer_than() {
  while [[ $(jobs -rp | wc -l) -ge $1 ]]; do sleep 0.1; done
}

none_failed() {
  wait_for_fewer_than 1
  ! grep -q FAILED "$results/$step.tsv"
}

tests() {
  built "$build/gpu/conformance.few.precise"
  need_gpu tests
  begin_step tests
  run_all "$build"/examples/{02_cuda_stream,05_train_rebased_cuda} "$build"/gpu/{conformance,continuation}.*
}

gradients() {
  built "$build/gpu/gradient.few.precise"
  need_gpu gradients
  begin_step gradients
  run_all "$build"/gpu/gradient.*
}

sanitize() {
  built "$build/gpu/conformance.few.precise"
  need_gpu sanitize
  begin_step "sanitize${1:+.$1}"
  command -v compute-sanitizer > /dev/null || { echo "skipped: no compute-sanitizer on this machine"; exit 77; }
  local tool program tools=(memcheck racecheck initcheck synccheck)
  if [[ -n ${1:-} ]]; then tools=("$1"); fi
  local programs=(primitives {conformance,continuation,gradient}.few.precise)
  local rounds=$(((${#programs[@]} * ${#tools[@]} + side_by_side - 1) / side_by_side))
  for tool in "${tools[@]}"; do
    for program in "${programs[@]}"; do
      wait_for_fewer_than "$side_by_side"
      run "$tool.$program" $((limit / rounds)) \
        compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/gpu/$program" &
    done
  done
  none_failed
}

unpack_peers() {
  rm -rf "$build/peers"
  mkdir -p "$build/peers"
  local wheel
  for wheel in "$carry"/wheels/*.whl; do   # unpacked: Triton reads the kernels' source files
    [[ -r $wheel ]] && python3 -m zipfile -e "$wheel" "$build/peers"
  done
}

check_peers() {
  local python=${PYTHON:-build/peers/venv/bin/python}
  command -v "$python" > /dev/null || { echo "gpu.sh: no $python; run benchmarks/peers/setup.sh" >&2; exit 1; }
  unpack_peers
  TRITON_INTERPRET=1 PYTHONPATH=$build/peers "$python" benchmarks/cuda/peers.py --check
}

bench() {
  built "$build/benchmarks/cuda/cuda_training"
  need_gpu bench
  begin_step bench
  local failed=0 program
  : > "$results/linattn.jsonl"
  for program in forward training; do
    timeout $((limit / 5)) "$build/benchmarks/cuda/cuda_$program" "${bench_options[@]}" \
      >> "$results/linattn.jsonl" || failed=1
  done
  timeout $((limit / 10)) "$build/benchmarks/cuda/cuda_decode" >> "$results/linattn.jsonl" || failed=1
  cat "$results/linattn.jsonl"
  unpack_peers
  PYTHONPATH=$build/peers timeout $((limit / 2)) python3 benchmarks/cuda/peers.py "${bench_options[@]}" \
    > "$results/peers.jsonl" || echo "the peers did not finish, cannot run here, or one gave a wrong answer"
  cat "$results/peers.jsonl"
  return "$failed"
}

tuning() {
  built "$build/benchmarks/cuda/cuda_tuning"
  need_gpu tuning
  timeout "$limit" "$build/benchmarks/cuda/cuda_tuning" | tee "$results/tuning.jsonl"
}

report() { python3 scripts/gpu_report.py --results "$results" --output docs/gpu; }

if [[ ${1:-} == --pack ]]; then
  pack
  exit 0
fi
if [[ ${1:-} == --check-peers ]]; then
  check_peers
  exit
fi
steps=("$@")
if [[ $# -eq 0 ]]; then steps=(build primitives tests gradients sanitize bench tuning report); fi
bench_options=()
if [[ -n ${SHAPES:-} ]]; then bench_options+=(--shapes "$SHAPES"); fi

status=0
skip_next=
for ((i = 0; i < ${#steps[@]}; ++i)); do
  if [[ -n $skip_next ]]; then skip_next=; continue; fi
  echo "=== ${steps[i]}"
  case ${steps[i]} in
    build) build ;;
    primitives) primitives || { echo "the primitives are wrong: nothing after them would mean anything"; exit 1; } ;;
    tests) tests || status=1 ;;
    gradients) gradients || status=1 ;;
    sanitize)
      case ${steps[i + 1]:-} in
        *check) sanitize "${steps[i + 1]}" || status=1; skip_next=1 ;;
        *) sanitize || status=1 ;;
      esac ;;
    bench) bench || status=1 ;;
    tuning) tuning || status=1 ;;
    report) report || status=1 ;;
    *)
      echo "gpu.sh: got '${steps[i]}'; accepts build primitives tests gradients sanitize bench tuning report," \
        "--pack and --check-peers" >&2
      exit 2 ;;
  esac
done
exit "$status"
