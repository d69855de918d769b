#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Check that a file does not compile with -DREJECT, with the promised message, and compiles without.

check_compile.py FILE COMPILER [FLAG ...]

FILE says what the compiler must print in a line `// expect: <regular expression>`.
"""
import pathlib
import re
import subprocess
import sys


def compile_file(path, compiler, flags):
    command = [compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", *flags, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def main():
    path, compiler, flags = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    expect = re.search(r"^// expect: (.+)$", path.read_text(), re.MULTILINE)
    if not expect:
        sys.exit(f"{path}: has no line `// expect: ...`")
    code, text = compile_file(path, compiler, flags)
    if code != 0:
        sys.exit(f"{path}: must compile without REJECT:\n{text}")
    code, text = compile_file(path, compiler, [*flags, "-DREJECT"])
    if code == 0:
        sys.exit(f"{path}: must not compile with REJECT")
    errors = "\n".join(line for line in text.split("\n") if re.search(r"error|note|required|constraint", line))
    if not re.search(expect[1], errors):
        sys.exit(f"{path}: must not compile because of /{expect[1]}/; the compiler says:\n{text}")
    print(f"{path.name}: refused as promised, and the sibling compiles")


main()
