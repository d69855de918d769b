#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# All tests: builds with g++, with clang++, with ASan + UBSan (and the fuzzers) and with TSan, then one ctest run over
# the four. The last line printed is ctest's count. JOBS sets the number of processes (default: one a core).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs=${JOBS:-$(nproc)}
presets=(gcc clang asan tsan)

./scripts/setup.sh test

mkdir -p build
for preset in "${presets[@]}"; do
  echo "=== build: $preset"
  cmake --preset "$preset" > "build/configure-$preset.log" 2>&1 || { cat "build/configure-$preset.log"; exit 1; }
  cmake --build --preset "$preset" --parallel "$jobs"
done

# ctest reads the four folders as one when their parent lists them.
echo "subdirs(${presets[*]})" > build/CTestTestfile.cmake

echo "=== test"
log=build/ctest.log
status=0
ctest --test-dir build --parallel "$jobs" --output-on-failure --no-tests=error 2>&1 | tee "$log" || status=$?
echo
grep -E 'tests passed, .* tests? failed out of' "$log" || { echo "ctest printed no count"; exit 1; }
exit "$status"
