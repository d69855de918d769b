#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Compares linattn with its peers on one thread (core 1 unless CORE says another), then on two (cores 0 and 1).
# run.sh [one|two|both] [options of compare.py]: tables on the standard output, JSON in build/peers. First: setup.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "$here/../.." && pwd)/build/peers
which=${1:-both}
shift || true
case $which in
  one|two|both) ;;
  *) echo "run.sh: got '$which'; accepts one, two or both" >&2; exit 2 ;;
esac
if [[ $which != two ]]; then
  taskset -c "${CORE:-1}" "$build/venv/bin/python" "$here/compare.py" --threads 1 --json "$build/one.json" "$@"
fi
if [[ $which != one ]]; then
  taskset -c 0,1 "$build/venv/bin/python" "$here/compare.py" --threads 2 --json "$build/two.json" "$@"
fi
