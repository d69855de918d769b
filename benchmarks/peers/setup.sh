#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Installs the peers into build/peers/venv and builds the libraries of the comparison in build/peers/lib. By hand only:
# no build and no test needs it. 6 GB, most of it what PyTorch brings along. Run it again after a change of linattn.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build="$root/build/peers"
venv="$build/venv"
lib="$build/lib"
mkdir -p "$lib" "$build/src"

# Other libraries have a cblas.h too.
if ! printf '#include <cblas.h>\nint main() { openblas_get_corename(); }\n' |
    g++ -fsyntax-only -x c++ - > /dev/null 2>&1; then
  echo "setup.sh: OpenBLAS is missing; install it as root: apt-get install libopenblas-dev" >&2
  exit 1
fi
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"

# linattn with the flags of the preset release; its algorithm on OpenBLAS also with -ffast-math, so that the compiler
# vectorises that engine's sums.
warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Werror)
release=(-O3 -march=native -std=c++20 -DNDEBUG -fPIC -shared "${warnings[@]}")
g++ "${release[@]}" -I"$root/include" "$here/linattn_library.cpp" -o "$lib/libpeers_linattn.so" -pthread
g++ "${release[@]}" -ffast-math "$here/openblas_library.cpp" -o "$lib/libpeers_openblas.so" -lopenblas

# causal_product of fast-transformers, twice: with the flags that its setup.py gives to this Python's compiler line, and
# with -O3 -march=native besides. The rest of that package takes long to build and is not needed.
version=0.4.0
source="$build/src/pytorch-fast-transformers-$version"
if [[ ! -d $source ]]; then
  "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-binary :all: \
    --dest "$build/src" "pytorch-fast-transformers==$version"
  tar --extract --gzip --file "$source.tar.gz" --directory "$build/src"
fi
python_flags=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("CFLAGS"))')
torch=$("$venv/bin/python" -c 'import os, torch; print(os.path.dirname(torch.__file__))')
python_include=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
for flavour in shipped native; do
  target="$lib/causal_product_$flavour.so"
  [[ -e $target ]] && continue
  read -r -a flags <<< "$python_flags -fopenmp -ffast-math"
  [[ $flavour == native ]] && flags+=(-O3 -march=native)
  echo "setup.sh: causal_product, $flavour: ${flags[*]}" | tee "$lib/causal_product_$flavour.flags"
  g++ "${flags[@]}" -w -std=c++20 -fPIC -shared "-DTORCH_EXTENSION_NAME=causal_product_$flavour" \
    -I"$torch/include" -I"$torch/include/torch/csrc/api/include" -I"$python_include" \
    "$source/fast_transformers/causal_product/causal_product_cpu.cpp" -o "$target" \
    -L"$torch/lib" -Wl,-rpath,"$torch/lib" -lc10 -ltorch_cpu -ltorch -ltorch_python
done
echo "setup.sh: done; next, benchmarks/peers/run.sh"
