#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Install what is missing on Debian: scripts/setup.sh [demo|text|test|all]   (default: all)
#   demo  a compiler, CMake, Ninja, Eigen and bzip2: enough for scripts/demo.sh
#   text  the King James text that the demo trains on by default
#   test  what scripts/test.sh needs besides
# Silent when nothing is missing. Needs root or sudo only when something is.
set -euo pipefail

demo=(g++ cmake ninja-build libeigen3-dev bzip2)
text=(bible-kjv)
tests=(g++ cmake ninja-build libeigen3-dev bzip2 clang libclang-rt-dev doctest-dev libbenchmark-dev pkg-config python3
       python3-numpy valgrind)

case "${1:-all}" in
  demo) wanted=("${demo[@]}") ;;
  text) wanted=("${text[@]}") ;;
  test) wanted=("${tests[@]}") ;;
  all) wanted=("${tests[@]}" "${text[@]}") ;;
  *) echo "setup.sh: got '$1'; accepts demo, text, test or all" >&2; exit 2 ;;
esac

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
  echo "setup.sh: this is no Debian; please install the equivalents of: ${wanted[*]}" >&2
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2> /dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo > /dev/null; then
    echo "setup.sh: missing ${missing[*]}; install them as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "setup.sh: installing ${missing[*]}"
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" > /dev/null
}
# A fresh machine has no package lists, an old one has stale lists: fetch them only when the first try fails.
if ! install 2> /dev/null; then
  echo "setup.sh: updating the package lists"
  "${as_root[@]}" apt-get update --quiet=2
  install
fi
echo "setup.sh: done"
