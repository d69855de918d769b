#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Train a small language model with linattn and let it write: scripts/demo.sh [FILE] [option of language_model]...
# Without FILE: the King James text, or, where that cannot be had, the licence texts that every Debian machine has.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/demo

text=
if [[ $# -gt 0 && $1 != -* ]]; then
  text=$1
  shift
  [[ -r $text ]] || { echo "demo.sh: cannot read '$text'" >&2; exit 1; }
fi

"$root/scripts/setup.sh" demo
if [[ -z $text ]]; then
  "$root/scripts/setup.sh" text || echo "demo.sh: no King James text to be had"
fi

echo "demo.sh: building for this machine"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLINATTN_BUILD_TESTS=OFF \
  -DLINATTN_BUILD_BENCHMARKS=OFF -DLINATTN_BUILD_EXAMPLES=ON -DLINATTN_NATIVE=ON > /dev/null
cmake --build "$build" --target language_model -- --quiet

if [[ -z $text ]]; then
  if command -v bible > /dev/null; then
    text=$build/king_james.txt
    # `bible` prints a verse a line, "Ge1:1 In the beginning ...": keep the text, drop the reference.
    bible -f gen1:1-rev22:21 < /dev/null | sed -E 's/^[0-9]?[A-Za-z]+[0-9]+:[0-9]+ //' > "$text"
  else
    text=$build/licences.txt
    cat /usr/share/common-licenses/* > "$text"
  fi
fi

exec "$build/examples/language_model/language_model" "$text" "$@"
