#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What linattn's CUDA headers make a user's compiler read: check_include_budget.py --include DIR [--nvcc nvcc]

The text that nvcc sees after `#include <linattn/cuda.cuh>` is bounded, and no header but cuda/device_ops.cuh may bring
in CUB, Thrust, cooperative groups or <cuda/std>: each costs every user's translation unit 3 to 13 seconds.
Exit code 77 (skipped) without nvcc.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
LIMIT = 4_200_000   # bytes of the host pass; 1.4 MB of them come with an empty file, 1.7 MB with linattn.hpp
DEAR = re.compile(r"/(cub|thrust|cooperative_groups|cuda/std)/|/cooperative_groups\.h$")
SEAM = "linattn/cuda/device_ops.cuh"


def read_by(nvcc, include, headers, work):
    """The files that a translation unit with these headers reads, and how long its preprocessed text is."""
    source = work / "unit.cu"
    source.write_text("".join(f"#include <{header}>\n" for header in headers))
    outputs = []
    for option in ("-M", "-E"):
        result = subprocess.run([nvcc, "-std=c++20", option, f"-I{include}", str(source)], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if result.returncode != 0:
            sys.exit(f"nvcc {option} fails on {' '.join(headers)}:\n{result.stderr}")
        outputs.append(result.stdout)
    files = [str(pathlib.Path(name)) for name in outputs[0].replace("\\\n", " ").split() if not name.endswith(":")]
    return files, len(outputs[1])


def findings(nvcc, include, headers, limit, work):
    files, size = read_by(nvcc, include, headers, work)
    more = f" and {len(headers) - 1} more" if len(headers) > 1 else ""
    print(f"{headers[0]}{more}: {len(files)} files, {size} bytes")
    if not any("linattn/" in name for name in files):
        yield f"nvcc -M does not list {headers[0]}: this check sees nothing"
    dear = [name for name in files if DEAR.search(name)]
    if dear:
        yield f"{', '.join(headers)} reads {len(dear)} files of CUB, Thrust or <cuda/std>, first {dear[0]}"
    if limit and size > limit:
        yield f"{headers[0]}: {size} bytes after preprocessing, {limit} at most"


def self_test(nvcc, work):
    include = work / "include"
    (include / "linattn").mkdir(parents=True)
    sound, wrong = "linattn/sound.hpp", []
    (include / sound).write_text("#include <type_traits>\n")
    for label, text in (("thrust", "#include <thrust/version.h>"), ("cuda/std", "#include <cuda/std/type_traits>"),
                        ("groups", "#include <cooperative_groups.h>"), ("cub", "#include <cub/version.cuh>")):
        (include / f"linattn/{label.replace('/', '_')}.hpp").write_text(text + "\n")
        if not list(findings(nvcc, include, [f"linattn/{label.replace('/', '_')}.hpp"], None, work)):
            wrong.append(label)
    if list(findings(nvcc, include, [sound], LIMIT, work)):
        wrong.append("the sound header")
    if not list(findings(nvcc, include, [sound], 1000, work)):
        wrong.append("the size")
    if wrong:
        sys.exit(f"self-test failed: {', '.join(wrong)}")
    print("self-test passed: dear headers and long text are reported")


def main():
    parser = argparse.ArgumentParser(description="Check what the CUDA headers make a compiler read.")
    parser.add_argument("--include", type=pathlib.Path)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if not shutil.which(options.nvcc):
        print(f"skipped: {options.nvcc} is not on this machine")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        if options.self_test:
            self_test(options.nvcc, work)
            return
        every = sorted(path.relative_to(options.include).as_posix() for path in options.include.rglob("*")
                       if path.suffix in (".hpp", ".cuh"))
        found = list(findings(options.nvcc, options.include, ["linattn/cuda.cuh"], LIMIT, work))
        found += findings(options.nvcc, options.include, [name for name in every if name != SEAM], None, work)
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
